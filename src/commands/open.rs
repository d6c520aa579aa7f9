//! `nsys open`: the addresses of the stack's pages.

use crate::cli::{BrowserPage, OpenArgs};
use crate::clients::program::{Purpose, blocking};
use crate::error::{Error, Result};
use crate::render::schema::AnswerSchema;
use crate::render::{Out, Report};
use crate::stack::{Stack, setup};
use std::process::Stdio;

/// An address.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct OpenAnswer<'a> {
    url: &'a str,
}

impl Report for OpenAnswer<'_> {
    fn text(&self) -> String {
        self.url.to_owned()
    }
}

/// Prints the address, and opens it where there is something to open it with.
pub(super) async fn open(stack: &Stack, args: OpenArgs, out: Out) -> Result<()> {
    let url = address(stack, args.page).await?;
    out.report(&OpenAnswer { url: &url })?;
    if args.print {
        return Ok(());
    }
    let Some(opener) = ["xdg-open", "open"].into_iter().find_map(setup::on_path) else {
        out.say("no browser found; open the URL above");
        return Ok(());
    };
    let mut command = blocking(Purpose::User, &opener);
    command.arg(&url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
        .spawn()
        .map(|_| ())
        .map_err(|cause| Error::failed(format!("cannot start {}: {cause}", opener.display())))
}

async fn address(stack: &Stack, page: BrowserPage) -> Result<String> {
    let ports = &stack.endpoints;
    let missing = |what: &str, instead: &str| {
        Err(Error::failed(format!("this stack has no {what}")).hint(instead.to_owned()))
    };
    match page {
        BrowserPage::Prometheus => Ok(ports.prometheus_url()),
        BrowserPage::ApiDocs => Ok(format!("{}/docs", ports.api_url())),
        BrowserPage::Jaeger => match stack.jaeger_url().await? {
            Some(url) => Ok(url),
            None => missing("Jaeger", "nsys up --with jaeger"),
        },
        BrowserPage::Grafana => missing("Grafana", "nsys watch shows the same figures"),
        BrowserPage::KafkaUi => missing("Kafka UI", "nsys watch lag, nsys kafka topics"),
    }
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![AnswerSchema::of::<OpenAnswer<'_>>("open", 1)]
}
