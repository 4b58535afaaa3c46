//! Validates JSON against the schemas of an OpenAPI 3.0 description: the keywords that Pinterest's uses, and no others.

use serde_json::Value;

const DESCRIPTION: &str = include_str!("pinterest-v5-organic.openapi.json");

/// Keywords that say nothing about whether a value is valid.
const SILENT: [&str; 10] =
    ["description", "example", "default", "readOnly", "writeOnly", "title", "nullable", "discriminator", "format", "externalDocs"];

pub struct Schemas(Value);

impl Schemas {
    pub fn read() -> Schemas {
        Schemas(serde_json::from_str(DESCRIPTION).expect("the description is JSON"))
    }

    /// Returns the path template of the description that a path of ours matches; the one with the fewest parameters.
    pub fn template(&self, method: &str, path: &str) -> Option<&str> {
        let paths = self.0["paths"].as_object().expect("paths");
        let fits = |template: &&String| {
            let (ours, theirs) = (path.split('/'), template.split('/'));
            ours.clone().count() == theirs.clone().count() && ours.zip(theirs).all(|(a, b)| a == b || b.starts_with('{'))
        };
        let found = paths.keys().filter(fits).min_by_key(|template| template.matches('{').count())?;
        paths[found].get(method).is_some().then_some(found.as_str())
    }

    /// Checks an answer. Returns everything that is wrong with it.
    pub fn check_answer(&self, method: &str, template: &str, status: u16, body: &Value) -> Vec<String> {
        let responses = &self.0["paths"][template][method]["responses"];
        let response = responses.get(status.to_string()).or_else(|| responses.get("default").filter(|_| status >= 400));
        let Some(response) = response else { return vec![format!("the status {status} is not declared")] };
        let mut wrong = Vec::new();
        match response.pointer("/content/application~1json/schema") {
            Some(schema) => self.check(schema, body, "$", &mut wrong),
            None if body.is_null() => {}
            None => wrong.push("a body where none is declared".to_owned()),
        }
        wrong
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = self.0.pointer(reference.strip_prefix('#').expect("a local reference")).expect("the reference leads somewhere");
            return self.check(target, value, at, wrong);
        }
        if value.is_null() {
            if schema["nullable"] != true && !schema.as_object().expect("a schema").is_empty() {
                wrong.push(format!("{at} is null"));
            }
            return;
        }
        for (keyword, rule) in schema.as_object().expect("a schema") {
            match keyword.as_str() {
                "type" => check_type(rule.as_str().expect("a type"), value, at, wrong),
                "allOf" => rule.as_array().expect("schemas").iter().for_each(|part| self.check(part, value, at, wrong)),
                "oneOf" => self.check_choice(schema, rule, value, at, wrong, true),
                "anyOf" => self.check_choice(schema, rule, value, at, wrong, false),
                "required" => {
                    for name in rule.as_array().expect("names").iter().filter_map(Value::as_str) {
                        if value.get(name).is_none() {
                            wrong.push(format!("{at}.{name} is missing"));
                        }
                    }
                }
                "properties" => {
                    for (name, part) in rule.as_object().expect("schemas") {
                        if let Some(inner) = value.get(name) {
                            self.check(part, inner, &format!("{at}.{name}"), wrong);
                        }
                    }
                }
                "items" => {
                    for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, inner, &format!("{at}[{index}]"), wrong);
                    }
                }
                "enum" if !rule.as_array().expect("values").contains(value) => wrong.push(format!("{at} is {value}, none of {rule}")),
                "enum" => {}
                "pattern" => check_pattern(rule.as_str().expect("a pattern"), value, at, wrong),
                "minimum" if value.as_f64() < rule.as_f64() => wrong.push(format!("{at} is {value}, under {rule}")),
                "minimum" => {}
                "maxLength" if length(value) > rule.as_u64() => wrong.push(format!("{at} is longer than {rule}")),
                "minLength" if length(value) < rule.as_u64() => wrong.push(format!("{at} is shorter than {rule}")),
                "maxLength" | "minLength" => {}
                silent if SILENT.contains(&silent) || silent.starts_with("x-") => {}
                other => panic!("the schema at {at} has the keyword '{other}', which this validator does not know"),
            }
        }
        if schema["format"] == "date-time" && !is_date_time(value.as_str().unwrap_or("")) {
            wrong.push(format!("{at} is {value}, no date and time of RFC 3339"));
        }
    }

    fn check_choice(&self, schema: &Value, choices: &Value, value: &Value, at: &str, wrong: &mut Vec<String>, exactly_one: bool) {
        let failures: Vec<Vec<String>> = choices
            .as_array()
            .expect("schemas")
            .iter()
            .map(|choice| {
                let mut wrong = Vec::new();
                self.check(choice, value, at, &mut wrong);
                wrong
            })
            .collect();
        let good = failures.iter().filter(|failure| failure.is_empty()).count();
        if good == 0 || (exactly_one && good > 1) {
            wrong.push(format!("{at} fits {good} of the choices: {failures:?}"));
        }
        if let Some(name) = schema.pointer("/discriminator/propertyName").and_then(Value::as_str)
            && schema["discriminator"]["mapping"].get(value[name].as_str().unwrap_or("")).is_none()
        {
            wrong.push(format!("{at}.{name} is {}, which chooses nothing", value[name]));
        }
    }
}

fn check_type(wanted: &str, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let good = match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("'{other}' is no type"),
    };
    if !good {
        wrong.push(format!("{at} is {value}, not of type {wanted}"));
    }
}

fn check_pattern(pattern: &str, value: &Value, at: &str, wrong: &mut Vec<String>) {
    assert_eq!(pattern, r"^\d+$", "the one pattern that this validator knows");
    let text = value.as_str().unwrap_or("");
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        wrong.push(format!("{at} is {value}, not digits"));
    }
}

fn length(value: &Value) -> Option<u64> {
    value.as_str().map(|text| text.chars().count() as u64)
}

/// Says whether a text is a date and a time with an offset: `2026-01-31T12:00:00Z`.
fn is_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let zone = bytes.get(19..).unwrap_or_default();
    let zoned = zone == b"Z" || (zone.len() == 6 && matches!(zone[0], b'+' | b'-') && zone[3] == b':');
    [0..4, 5..7, 8..10, 11..13, 14..16, 17..19].into_iter().all(digits)
        && bytes[4] == b'-'
        && bytes[10] == b'T'
        && bytes[13] == b':'
        && zoned
}

#[test]
fn the_validator_finds_what_is_wrong() {
    let schemas = Schemas::read();
    let good = serde_json::json!({
        "id": "1", "created_at": "2026-01-31T12:00:00Z", "title": null, "link": "https://example.org",
        "media": { "media_type": "image", "images": { "600x": { "width": 1, "height": 2, "url": "u" } } },
    });
    let check = |value: &Value| schemas.check_answer("get", "/pins/{pin_id}", 200, value);
    assert_eq!(check(&good), Vec::<String>::new());
    for (pointer, bad) in [
        ("/id", serde_json::json!(1)),
        ("/id", serde_json::json!("x")),
        ("/created_at", serde_json::json!("yesterday")),
        ("/title", serde_json::json!("x".repeat(101))),
        ("/media/media_type", serde_json::json!("film")),
        ("/media/images/600x/width", serde_json::json!("1")),
        ("/media/images/600x", serde_json::json!({ "width": 1, "height": 1 })),
    ] {
        let mut value = good.clone();
        *value.pointer_mut(pointer).unwrap() = bad;
        assert_ne!(check(&value), Vec::<String>::new(), "{pointer}");
    }
    assert_ne!(schemas.check_answer("get", "/pins/{pin_id}", 200, &serde_json::json!({})), Vec::<String>::new());
    assert_ne!(schemas.check_answer("delete", "/pins/{pin_id}", 204, &serde_json::json!({})), Vec::<String>::new());
    assert_eq!(schemas.template("get", "/pins/1"), Some("/pins/{pin_id}"));
    assert_eq!(schemas.template("get", "/pins/analytics"), Some("/pins/analytics"));
    assert_eq!(schemas.template("put", "/pins/1"), None);
}
