//! What a `CREATE INDEX` statement says, read so that two spellings of one index are equal and two
//! indexes that only look alike are not: quoted text keeps its case, brackets keep their meaning.

/// What decides which reads an index serves and which rows it admits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// The part that decides which reads it serves.
    pub(super) serving: Serving,
    unique: bool,
    nulls_not_distinct: bool,
}

/// The parts of a definition that decide what an index can serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Serving {
    table: String,
    method: String,
    keys: Vec<String>,
    include: Vec<String>,
    predicate: String,
}

impl Shape {
    pub(super) fn read(definition: &str) -> Self {
        let text = folded(definition);
        let open = find(&text, "(").unwrap_or(text.len());
        let (head, rest) = (&text[..open], text.get(open + 1..).unwrap_or_default());
        let (keys, mut tail) = closing(rest);
        let mut include = Vec::new();
        if let Some(columns) = tail.trim_start().strip_prefix("include (") {
            let (columns, behind) = closing(columns);
            include = list(columns);
            include.sort_unstable();
            tail = behind;
        }
        let table = find(head, " on ").map_or(head, |at| &head[at + " on ".len()..]);
        let (table, method) = find(table, " using ")
            .map_or((table, "btree"), |at| (&table[..at], &table[at + " using ".len()..]));
        let table = table.trim().trim_start_matches("only ").trim_start_matches("public.");
        let predicate =
            find(tail, "where ").map_or_else(String::new, |at| condition(&tail[at + "where ".len()..]));
        Self {
            serving: Serving {
                table: unquoted_names(table),
                method: method.trim().to_owned(),
                keys: list(keys),
                include,
                predicate,
            },
            unique: head.starts_with("create unique "),
            nulls_not_distinct: find(tail, "nulls not distinct").is_some(),
        }
    }
}

impl Serving {
    /// Whether every read that `other` serves is served by this one too, and more.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let holds = |column: &String| self.keys.contains(column) || self.include.contains(column);
        // Only a B-tree serves reads of its leading columns as a shorter one would.
        self != other
            && self.method == "btree"
            && self.table == other.table
            && self.method == other.method
            && self.predicate == other.predicate
            && self.keys.starts_with(&other.keys)
            && other.include.iter().all(holds)
            && (self.keys.len() > other.keys.len() || self.include.len() > other.include.len())
    }
}

/// Which bytes of a statement stand outside of quotes.
fn outside(text: &str) -> Vec<bool> {
    let mut quote = None;
    text.bytes()
        .map(|byte| match quote {
            None if byte == b'\'' || byte == b'"' => {
                quote = Some(byte);
                false
            }
            // A doubled quote closes and opens again, which comes to the same.
            Some(open) if byte == open => {
                quote = None;
                false
            }
            None => true,
            Some(_) => false,
        })
        .collect()
}

/// The first place of a word outside of quotes.
fn find(text: &str, word: &str) -> Option<usize> {
    let outside = outside(text);
    text.match_indices(word).map(|(at, _)| at).find(|at| outside[*at])
}

/// Lower case and single spaces outside of quotes, and no casts to text.
fn folded(text: &str) -> String {
    let outside = outside(text);
    let mut folded = String::with_capacity(text.len());
    for (at, one) in text.char_indices() {
        match one {
            one if !outside[at] => folded.push(one),
            one if one.is_whitespace() => {
                if !folded.ends_with(' ') {
                    folded.push(' ');
                }
            }
            one => folded.extend(one.to_lowercase()),
        }
    }
    without(folded.trim(), "::text")
}

/// Text without a word, where it stands outside of quotes.
fn without(text: &str, word: &str) -> String {
    let (mut rest, mut clean) = (text.to_owned(), String::new());
    while let Some(at) = find(&rest, word) {
        clean.push_str(&rest[..at]);
        rest = rest[at + word.len()..].to_owned();
    }
    clean + &rest
}

/// Names without quotes that they do not need.
fn unquoted_names(text: &str) -> String {
    let plain = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == b'_')
    };
    let pieces = text.split('"').enumerate();
    // Every second piece stood in quotes.
    pieces
        .map(|(number, piece)| match number % 2 {
            1 if !plain(piece) => format!("\"{piece}\""),
            _ => piece.to_owned(),
        })
        .collect()
}

fn list(text: &str) -> Vec<String> {
    split(text, ",").into_iter().map(leaf).collect()
}

/// A condition with brackets only where they decide.
fn condition(text: &str) -> String {
    let text = peel(text.trim());
    for word in [" or ", " and "] {
        let parts = split(text, word);
        if parts.len() > 1 {
            let parts: Vec<_> = parts.into_iter().map(condition).collect();
            return format!("({})", parts.join(word));
        }
    }
    leaf(text)
}

/// One column, expression or comparison, without brackets around the whole and around single names.
fn leaf(text: &str) -> String {
    let text = unquoted_names(peel(text.trim()));
    let text = text.strip_suffix(" asc").unwrap_or(&text);
    let outside = outside(text);
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(one) = rest.chars().next() {
        let at = text.len() - rest.len();
        let called = clean.ends_with(|last: char| last.is_alphanumeric() || last == '_' || last == '"');
        if one == '(' && outside[at] && !called {
            let (inner, behind) = closing(&rest[1..]);
            if !inner.is_empty() && inner.bytes().all(|one| one.is_ascii_alphanumeric() || one == b'_') {
                clean.push_str(inner);
                rest = behind;
                continue;
            }
        }
        clean.push(one);
        rest = &rest[one.len_utf8()..];
    }
    clean
}

/// Without the brackets that stand around the whole.
fn peel(text: &str) -> &str {
    match text.strip_prefix('(').map(closing) {
        Some((inner, "")) => peel(inner.trim()),
        _ => text,
    }
}

/// Splits behind the bracket that closes the one already open.
fn closing(text: &str) -> (&str, &str) {
    let (outside, mut depth) = (outside(text), 1);
    for (at, one) in text.char_indices().filter(|(at, _)| outside[*at]) {
        match one {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (&text[..at], &text[at + 1..]);
        }
    }
    (text, "")
}

/// Splits at a word that stands outside of brackets and quotes.
fn split<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    let (outside, mut depth, mut start, mut parts) = (outside(text), 0, 0, Vec::new());
    for (at, one) in text.char_indices().filter(|(at, _)| outside[*at]) {
        match one {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && at >= start && text[at..].starts_with(word) => {
                parts.push(&text[start..at]);
                start = at + word.len();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}
