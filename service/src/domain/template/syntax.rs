//! The part of the template language that may be used: how deep a text may nest, judged by its tokens
//! alone, and which statements and expressions there are, judged by its syntax tree.

use super::reason;
use minijinja::machinery::Token;
use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Stmt};

/// Most tokens of one `{{ … }}` or `{% … %}`: no expression nests deeper than that.
pub(super) const MAX_TOKENS: usize = 128;
/// Most blocks (`if`, `elif`, `for`) within each other.
pub(super) const MAX_BLOCKS: usize = 32;
/// The filters there are.
pub(super) const FILTERS: [&str; 15] = [
    "safe",
    "upper",
    "lower",
    "title",
    "capitalize",
    "trim",
    "default",
    "escape",
    "length",
    "first",
    "last",
    "round",
    "int",
    "abs",
    "join",
];
/// The tests there are.
pub(super) const TESTS: [&str; 3] = ["defined", "undefined", "none"];

/// Refuses what nests too deep to be parsed: by its tokens alone, which are read one after the other.
pub(super) fn is_shallow(source: &str) -> Result<(), String> {
    // How many `elif` each open block has.
    let mut blocks: Vec<usize> = Vec::new();
    let (mut tokens, mut is_keyword) = (0, false);
    for token in minijinja::machinery::tokenize(source, false, minijinja::syntax::SyntaxConfig::default()) {
        let (token, _) = token.map_err(|cause| reason(&cause))?;
        tokens += 1;
        match token {
            Token::TemplateData(_) | Token::VariableStart | Token::VariableEnd | Token::BlockEnd => {
                tokens = 0;
            }
            Token::BlockStart => tokens = 0,
            Token::Ident("if" | "for") if is_keyword => blocks.push(0),
            Token::Ident("elif") if is_keyword => {
                blocks.iter_mut().next_back().into_iter().for_each(|more| *more += 1);
            }
            Token::Ident("endif" | "endfor") if is_keyword => drop(blocks.pop()),
            _ => {}
        }
        is_keyword = matches!(token, Token::BlockStart);
        if tokens > MAX_TOKENS {
            return Err(format!("an expression must have at most {MAX_TOKENS} parts"));
        }
        if blocks.len() + blocks.iter().sum::<usize>() > MAX_BLOCKS {
            return Err(format!("blocks can be nested at most {MAX_BLOCKS} deep"));
        }
    }
    Ok(())
}

/// Refuses statements that could keep or multiply text.
pub(super) fn allowed(statement: &Stmt<'_>) -> Result<(), String> {
    let all = |body: &[Stmt<'_>]| body.iter().try_for_each(allowed);
    match statement {
        Stmt::Template(template) => all(&template.children),
        Stmt::EmitExpr(emit) => allowed_expression(&emit.expr),
        Stmt::EmitRaw(_) => Ok(()),
        Stmt::IfCond(branch) => {
            allowed_expression(&branch.expr)?;
            all(&branch.true_body)?;
            all(&branch.false_body)
        }
        Stmt::ForLoop(looped) if !looped.recursive => {
            allowed_expression(&looped.iter)?;
            looped.filter_expr.iter().try_for_each(allowed_expression)?;
            all(&looped.body)?;
            all(&looped.else_body)
        }
        _ => Err("only `{{ … }}`, `{% if %}` and `{% for %}` can be used".to_owned()),
    }
}

fn allowed_expression(expression: &Expr<'_>) -> Result<(), String> {
    match expression {
        Expr::Var(_) | Expr::Const(_) => Ok(()),
        Expr::UnaryOp(unary) => allowed_expression(&unary.expr),
        Expr::BinOp(binary) => {
            if matches!(binary.op, BinOpKind::Add | BinOpKind::Mul | BinOpKind::Pow | BinOpKind::Concat) {
                return Err("`+`, `*`, `**` and `~` cannot be used".to_owned());
            }
            allowed_expression(&binary.left)?;
            allowed_expression(&binary.right)
        }
        Expr::Compare(compared) => {
            allowed_expression(&compared.expr)?;
            compared.ops.iter().try_for_each(|one| allowed_expression(&one.expr))
        }
        Expr::IfExpr(branch) => {
            allowed_expression(&branch.test_expr)?;
            allowed_expression(&branch.true_expr)?;
            branch.false_expr.iter().try_for_each(allowed_expression)
        }
        Expr::Filter(filter) => {
            known("filter", filter.name, &FILTERS)?;
            filter.expr.iter().try_for_each(allowed_expression)?;
            filter.args.iter().try_for_each(allowed_argument)
        }
        Expr::Test(test) => {
            known("test", test.name, &TESTS)?;
            allowed_expression(&test.expr)?;
            test.args.iter().try_for_each(allowed_argument)
        }
        Expr::GetAttr(get) => allowed_expression(&get.expr),
        Expr::GetItem(get) => {
            allowed_expression(&get.expr)?;
            allowed_expression(&get.subscript_expr)
        }
        _ => Err("calls, slices and literal lists cannot be used".to_owned()),
    }
}

/// The engine would only find out when the template is used.
fn known(what: &str, name: &str, all: &[&str]) -> Result<(), String> {
    if all.contains(&name) {
        Ok(())
    } else {
        Err(format!("there is no {what} {name}; there are {}", all.join(", ")))
    }
}

fn allowed_argument(argument: &CallArg<'_>) -> Result<(), String> {
    match argument {
        CallArg::Pos(value) | CallArg::Kwarg(_, value) => allowed_expression(value),
        CallArg::PosSplat(_) | CallArg::KwargSplat(_) => Err("`*` cannot be used".to_owned()),
    }
}
