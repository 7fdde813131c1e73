//! Every operation with every field that it takes, as the served document tells.

use axum::http::Method;
use serde_json::Value;

/// An operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) method: Method,
    /// With its names in braces.
    pub(crate) path: String,
    /// What its body is; its name among the schemas.
    pub(crate) body: Option<String>,
    /// Names in its path, and parameters of its query.
    pub(crate) parameters: Vec<Parameter>,
}

/// A name in a path, or a parameter of a query.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) in_path: bool,
}

impl Parameter {
    /// How the table of wrong values calls it.
    pub(crate) fn key(&self) -> String {
        format!("{}:{}", if self.in_path { "path" } else { "query" }, self.name)
    }
}

/// A place in a body where a value stands.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// How the table of wrong values calls it: `NewPool.subnet`.
    pub(crate) key: String,
    /// Its name, the last on its way.
    pub(crate) name: String,
    /// The way to it, as a JSON pointer. The first item of a list stands for each.
    pub(crate) pointer: String,
    pub(crate) schema: Value,
    /// Whether it is the field itself: not an item or entry in it.
    pub(crate) whole: bool,
    pub(crate) required: bool,
}

/// The document, for looking things up.
pub(crate) struct Document(pub(crate) Value);

impl Document {
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let mut all = Vec::new();
        for (path, operations) in self.0["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let body = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
                assert_eq!(body.is_null(), operation["requestBody"].is_null(), "{method} {path}: a body of no schema");
                let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
                all.push(Operation {
                    method: method.to_uppercase().parse().unwrap(),
                    path: path.clone(),
                    body: body.as_str().map(schema_name),
                    parameters: parameters.iter().map(parameter).collect(),
                });
            }
        }
        all
    }

    /// Every field of a schema, and of those within it. `good` is a body of it that has them all.
    pub(crate) fn fields(&self, schema: &str, good: &Value) -> Vec<Field> {
        let mut fields = Vec::new();
        self.collect(schema, "", good, &mut fields);
        fields
    }

    fn collect(&self, name: &str, place: &str, good: &Value, fields: &mut Vec<Field>) {
        let schema = &self.0["components"]["schemas"][name];
        assert_eq!(schema["additionalProperties"], false, "{name} takes unknown fields");
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (property, shape) in schema["properties"].as_object().unwrap() {
            let (pointer, value) = (format!("{place}/{property}"), &good[property]);
            let field = Field {
                key: format!("{name}.{property}"),
                name: property.clone(),
                pointer: pointer.clone(),
                schema: shape.clone(),
                whole: true,
                required: required.iter().any(|it| it == property),
            };
            fields.push(field.clone());
            let within = |pointer: String, schema: &Value| {
                let (schema, name) = (schema.clone(), property.clone());
                Field { pointer, schema, name, whole: false, required: false, ..field.clone() }
            };
            if is(shape, "array") {
                let item = format!("{pointer}/0");
                assert!(value[0] != Value::Null, "the good body has no item in {}", field.key);
                fields.push(within(item.clone(), &shape["items"]));
                if let Some(inner) = shape["items"]["$ref"].as_str() {
                    self.collect(&schema_name(inner), &item, &value[0], fields);
                }
            }
            if is(shape, "object") {
                let entries = value.as_object().filter(|it| !it.is_empty());
                let key =
                    entries.unwrap_or_else(|| panic!("the good body has no entry in {}", field.key)).keys().next();
                fields.push(within(format!("{pointer}/{}", key.unwrap()), &shape["additionalProperties"]));
            }
            if let Some(alone) = shape["$ref"].as_str() {
                self.collect(&schema_name(alone), &pointer, value, fields);
            }
        }
    }
}

fn schema_name(reference: &str) -> String {
    reference.rsplit('/').next().unwrap().to_owned()
}

fn parameter(parameter: &Value) -> Parameter {
    let place = parameter["in"].as_str().unwrap();
    assert!(["path", "query"].contains(&place), "{place}: give such parameters wrong values, too");
    let name = parameter["name"].as_str().unwrap().to_owned();
    Parameter { name, in_path: place == "path" }
}

/// Whether a schema takes values of a type.
pub(crate) fn is(schema: &Value, kind: &str) -> bool {
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(|it| it == kind),
        one => one == kind,
    }
}
