//! `nsys watch`: the dashboard on a terminal, one line a second elsewhere.

use crate::cli::{self, Asking, Cli, Preview, WatchArgs, translated};
use crate::error::Result;
use crate::process_env;
use crate::render::{Out, OutputFormat};
use crate::stack::Stack;
use crate::tui::state::intent::{CommandIntent, ConfirmQuestion};
use crate::tui::state::palette::KnownCommand;
use crate::tui::{self, Options, ThemeName};
use clap::CommandFactory;
use std::ffi::OsString;

pub(super) async fn watch(stack: &Stack, args: WatchArgs, read_only: bool, out: Out) -> Result<()> {
    let settings = &stack.loaded.config.watch;
    let fits = fits(process_env::var);
    let options = Options {
        pane: args.pane,
        read_only,
        colour: out.has_colour() && fits.colour,
        theme: args.theme.unwrap_or_else(|| fits.theme.unwrap_or_else(|| theme(&settings.theme))),
        ascii: args.ascii || settings.ascii || !fits.unicode,
        mouse: settings.mouse,
        record: args.record,
        replay: args.replay,
        commands: commands(),
        judge: Some(judge),
    };
    if out.can_show_screens() && fits.screens && out.format() == OutputFormat::Text {
        return tui::watch(stack, options).await;
    }
    tui::lines(stack, options, |text, object| {
        if out.format() == OutputFormat::Text {
            return out.line(text);
        }
        out.json_line(object)
    })
    .await
}

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fits {
    /// A screen that is drawn over; otherwise a line a second.
    screens: bool,
    /// More than ASCII.
    unicode: bool,
    /// Any colour.
    colour: bool,
    /// The theme for a terminal of few colours.
    theme: Option<ThemeName>,
}

/// What the terminal can show, as `TERM` and the locale say.
fn fits(variable: impl Fn(&str) -> Option<String>) -> Fits {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let term = set("TERM").unwrap_or_else(|| "dumb".to_owned());
    // The first of them that is set decides; without any it is the locale "C".
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_lowercase();
    let few = ["linux", "ansi", "cygwin"].contains(&term.as_str()) || term.ends_with("-16color");
    Fits {
        screens: term != "dumb",
        unicode: locale.contains("utf-8") || locale.contains("utf8"),
        colour: !term.starts_with("vt") && !term.ends_with("-mono") && !term.ends_with("-m"),
        theme: few.then_some(ThemeName::Terminal),
    }
}

/// The theme that the configuration names; `auto` asks what the terminal says of its background.
fn theme(name: &str) -> ThemeName {
    let named = ThemeName::ALL.into_iter().find(|theme| theme.name() == name);
    named.unwrap_or_else(|| of_background(process_env::var("COLORFGBG").as_deref()))
}

/// `COLORFGBG` is `foreground;background`; 7 and above 8 are light.
fn of_background(answer: Option<&str>) -> ThemeName {
    let background = answer.and_then(|answer| answer.rsplit(';').next()?.parse::<u8>().ok());
    match background {
        Some(7 | 9..) => ThemeName::Light,
        _ => ThemeName::Dark,
    }
}

/// What these words would change, as the command itself declares. Words that are no command run: they
/// only say what is wrong with them.
fn judge(words: &[String]) -> CommandIntent {
    let Some(change) = parsed(words).and_then(|cli| cli.command.changes()) else {
        return CommandIntent::Runs;
    };
    if change.asking != Asking::Nobody {
        return CommandIntent::Runs;
    }
    CommandIntent::Changes(ConfirmQuestion {
        words: words.to_vec(),
        does: change.does,
        preview: preview(words, change.preview),
    })
}

fn parsed(words: &[String]) -> Option<Cli> {
    let words = words.iter().map(OsString::from);
    cli::parse(translated([OsString::from("nsys")].into_iter().chain(words))).ok()
}

/// The words of a command that shows the same change. One that would itself change something is none.
fn preview(words: &[String], by: Preview) -> Option<Vec<String>> {
    let mut shows = words.to_vec();
    match by {
        Preview::DryRun => shows.push("--dry-run".into()),
        Preview::LoadPlan => {
            let place = shows.iter().position(|word| word == "loadtest")?;
            shows.insert(place + 1, "plan".into());
        }
        Preview::Words => return None,
    }
    let change = parsed(&shows)?.command.changes();
    change.is_none_or(|change| change.asking == Asking::DryRun).then_some(shows)
}

/// Every command of nsys with what it does: the palette offers what the command line has.
fn commands() -> Vec<KnownCommand> {
    fn add(command: &clap::Command, before: &str, into: &mut Vec<KnownCommand>) {
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let name = format!("{before}{}", sub.get_name());
            if sub.has_subcommands() {
                add(sub, &format!("{name} "), into);
            } else {
                let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
                let flags = sub.get_arguments().filter(|one| !one.is_hide_set());
                let flags = flags.filter_map(|one| Some(format!("--{}", one.get_long()?))).collect();
                into.push(KnownCommand { name, about, flags });
            }
        }
    }
    let mut known = Vec::new();
    add(&Cli::command(), "", &mut known);
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_palette_knows_the_command_line() {
        let known = commands();
        for name in ["cache flush", "scale", "tune db", "undo", "loadtest incremental"] {
            assert!(known.iter().any(|one| one.name == name && !one.about.is_empty()), "{name}");
        }
        assert!(!known.iter().any(|one| one.name == "supervise"));
    }

    fn judged(line: &str) -> CommandIntent {
        judge(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn whatever_changes_something_at_once_is_asked_for_and_shown_before() {
        let shown = |line: &str| match judged(line) {
            CommandIntent::Changes(question) => question.preview.map(|words| words.join(" ")),
            CommandIntent::Runs => panic!("{line} would run unasked"),
        };
        assert_eq!(shown("down").as_deref(), Some("down --dry-run"));
        assert_eq!(shown("-q scale app=2").as_deref(), Some("-q scale app=2 --dry-run"));
        assert_eq!(shown("undo --yes").as_deref(), Some("undo --yes --dry-run"));
        assert_eq!(
            shown("loadtest incremental --quick").as_deref(),
            Some("loadtest plan incremental --quick")
        );
        // What looks like a flag behind `--` is none: it would restart a part, not show it.
        assert_eq!(shown("restart -- kafka"), None);
        assert_eq!(shown("verify --against latest"), None);
        for line in ["ps", "lag", "undo", "cache flush", "down --dry-run", "no such command"] {
            assert_eq!(judged(line), CommandIntent::Runs, "{line}");
        }
    }

    #[test]
    fn a_terminal_gets_what_it_can_show() {
        let with = |pairs: &[(&str, &str)]| {
            fits(|name| pairs.iter().find(|(its, _)| *its == name).map(|(_, value)| (*value).to_owned()))
        };
        let modern = with(&[("TERM", "xterm-256color"), ("LANG", "de_DE.UTF-8")]);
        assert_eq!(modern, Fits { screens: true, unicode: true, colour: true, theme: None });
        assert!(!with(&[("TERM", "dumb")]).screens && !with(&[]).screens);
        assert!(!with(&[("TERM", "xterm"), ("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]).unicode);
        assert!(!with(&[("TERM", "vt100"), ("LANG", "C.utf8")]).colour);
        assert_eq!(with(&[("TERM", "linux")]).theme, Some(ThemeName::Terminal));
    }

    #[test]
    fn a_light_background_gets_a_light_theme() {
        assert_eq!(of_background(Some("0;15")), ThemeName::Light);
        assert_eq!(of_background(Some("15;default;0")), ThemeName::Dark);
        assert_eq!(of_background(None), ThemeName::Dark);
        assert_eq!(theme("safe"), ThemeName::Safe);
    }
}
