//! `nsys watch`: the dashboard on a terminal, one line a second elsewhere.

use crate::cli::{Cli, OutputFormat, WatchArgs};
use crate::error::{Context, Result};
use crate::render::Out;
use crate::stack::Stack;
use crate::tui::state::palette::Known;
use crate::tui::{self, Options, ThemeName};
use clap::CommandFactory;

pub(super) async fn watch(stack: &Stack, args: WatchArgs, read_only: bool, out: Out) -> Result<()> {
    let settings = &stack.loaded.config.watch;
    let options = Options {
        pane: args.pane,
        read_only,
        colour: out.has_colour(),
        theme: args.theme.unwrap_or_else(|| theme(&settings.theme)),
        ascii: args.ascii || settings.ascii,
        mouse: settings.mouse,
        record: args.record,
        replay: args.replay,
        commands: commands(),
    };
    if out.can_show_screens() && out.format() == OutputFormat::Text {
        return tui::watch(stack, options).await;
    }
    tui::lines(stack, options, |text, object| {
        if out.format() == OutputFormat::Text {
            return out.line(text);
        }
        out.line(&serde_json::to_string(object).context("cannot write the line")?)
    })
    .await
}

/// The theme that the configuration names; `auto` asks what the terminal says of its background.
fn theme(name: &str) -> ThemeName {
    let named = ThemeName::ALL.into_iter().find(|theme| theme.name() == name);
    named.unwrap_or_else(|| of_background(std::env::var("COLORFGBG").ok().as_deref()))
}

/// `COLORFGBG` is `foreground;background`; 7 and above 8 are light.
fn of_background(told: Option<&str>) -> ThemeName {
    let ground = told.and_then(|told| told.rsplit(';').next()?.parse::<u8>().ok());
    match ground {
        Some(7 | 9..) => ThemeName::Light,
        _ => ThemeName::Dark,
    }
}

/// Every command of nsys with what it does: the palette offers what the command line has.
fn commands() -> Vec<Known> {
    fn add(command: &clap::Command, before: &str, into: &mut Vec<Known>) {
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let name = format!("{before}{}", sub.get_name());
            if sub.has_subcommands() {
                add(sub, &format!("{name} "), into);
            } else {
                let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
                into.push(Known { name, about });
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

    #[test]
    fn a_light_background_gets_a_light_theme() {
        assert_eq!(of_background(Some("0;15")), ThemeName::Light);
        assert_eq!(of_background(Some("15;default;0")), ThemeName::Dark);
        assert_eq!(of_background(None), ThemeName::Dark);
        assert_eq!(theme("safe"), ThemeName::Safe);
    }
}
