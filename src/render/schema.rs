//! What a command answers with `-o json`, as JSON Schema made from the answer's own type.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;
use std::borrow::Cow;
use std::marker::PhantomData;

/// The shape of a command's answer.
#[derive(Clone, Debug)]
pub struct AnswerSchema {
    /// The command: `db slow`.
    pub command: &'static str,
    /// Raised when the shape changes, and only then.
    pub version: u32,
    /// As JSON Schema, draft 2020-12.
    pub schema: Value,
    /// Whether it is published under the command's name. A run is a file of its own, with a version of its own.
    pub has_file: bool,
}

impl AnswerSchema {
    /// The shape of the type that the command answers with.
    #[must_use]
    pub fn of<T: JsonSchema>(command: &'static str, version: u32) -> Self {
        let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
        let schema = generator.into_root_schema_for::<T>().to_value();
        Self { has_file: true, ..Self::written(command, version, schema) }
    }

    /// One that is published elsewhere.
    #[must_use]
    pub fn written(command: &'static str, version: u32, mut schema: Value) -> Self {
        schema["$id"] = format!("nsys:{}:{version}", command.replace(' ', "-")).into();
        schema["title"] = format!("nsys {command} -o json, version {version}").into();
        Self { command, version, schema, has_file: false }
    }

    /// The name of the file that it is published as.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}-{}.json", self.command.replace(' ', "-"), self.version)
    }
}

/// One of two answers: a plan for a dry run, say, and what was done otherwise.
#[derive(Debug)]
pub struct Either<A, B>(PhantomData<(A, B)>);

impl<A: JsonSchema, B: JsonSchema> JsonSchema for Either<A, B> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}Or{}", A::schema_name(), B::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (one, other) = (generator.subschema_for::<A>(), generator.subschema_for::<B>());
        json_schema!({"anyOf": [one, other]})
    }
}
