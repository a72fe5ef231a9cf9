//! Names of classes in a model's metadata: JSON, or what Python prints.

use std::collections::BTreeMap;

/// Where exporters put them.
const KEYS: [&str; 5] = ["names", "labels", "classes", "class_names", "id2label"];

/// A key or a name.
#[derive(Debug, PartialEq)]
enum Token {
    Text(String),
    Number(usize),
    Mark(char),
}

/// The names in the order of the outputs.
pub(super) fn labels(metadata: &BTreeMap<&str, &str>) -> Option<Vec<String>> {
    KEYS.iter().find_map(|key| parse(metadata.get(key)?))
}

/// A list of names, or a dictionary from numbers to names or from names to numbers.
fn parse(text: &str) -> Option<Vec<String>> {
    let tokens = tokens(text)?;
    let (open, inner) = tokens.split_first()?;
    let (close, inner) = inner.split_last()?;
    let items = inner.split(|token| *token == Token::Mark(',')).filter(|item| !item.is_empty());
    match (open, close) {
        (Token::Mark('['), Token::Mark(']')) | (Token::Mark('('), Token::Mark(')')) => items
            .map(|item| match item {
                [Token::Text(name)] => Some(name.clone()),
                _ => None,
            })
            .collect(),
        (Token::Mark('{'), Token::Mark('}')) => {
            let mut names = BTreeMap::new();
            for item in items {
                let (number, name) = match item {
                    [Token::Number(number), Token::Mark(':'), Token::Text(name)]
                    | [Token::Text(name), Token::Mark(':'), Token::Number(number)] => (*number, name),
                    [Token::Text(number), Token::Mark(':'), Token::Text(name)] => {
                        (number.parse().ok()?, name)
                    }
                    _ => return None,
                };
                names.insert(number, name.clone());
            }
            // Without gaps or one number twice.
            names.keys().copied().eq(0..names.len()).then(|| names.into_values().collect())
        }
        _ => None,
    }
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut characters = text.trim().chars().peekable();
    let mut tokens = Vec::new();
    while let Some(character) = characters.next() {
        match character {
            '[' | ']' | '(' | ')' | '{' | '}' | ':' | ',' => tokens.push(Token::Mark(character)),
            '\'' | '"' => tokens.push(Token::Text(quoted(&mut characters, character)?)),
            '0'..='9' => {
                let mut digits = String::from(character);
                while let Some(digit) = characters.next_if(char::is_ascii_digit) {
                    digits.push(digit);
                }
                tokens.push(Token::Number(digits.parse().ok()?));
            }
            space if space.is_whitespace() => {}
            _ => return None,
        }
    }
    Some(tokens)
}

/// The rest of a text in quotes, with the escapes that JSON and Python share.
fn quoted(characters: &mut impl Iterator<Item = char>, quote: char) -> Option<String> {
    let mut text = String::new();
    loop {
        match characters.next()? {
            end if end == quote => return Some(text),
            '\\' => text.push(match characters.next()? {
                'n' => '\n',
                't' => '\t',
                'u' => {
                    let digits: String = characters.by_ref().take(4).collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
                }
                other => other,
            }),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_json_and_python_write() {
        let cat_and_dog = Some(vec!["cat".to_owned(), "it's a dog".to_owned()]);
        for text in [
            r#"["cat", "it's a dog"]"#,
            r#"{"0": "cat", "1": "it's a dog"}"#,
            r#"{"it's a dog": 1, "cat": 0}"#,
            r#"{0: 'cat', 1: "it's a dog"}"#,
            r#"['cat', 'it\'s a dog',]"#,
            " ('cat', \"it's a \\u0064og\")",
        ] {
            assert_eq!(parse(text), cat_and_dog, "{text}");
        }
        for text in
            ["", "cat", "[1, 2]", "{0: 'cat', 2: 'dog'}", "['cat'", "{'a': 'b'}", "[['cat']]", "{0: }"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
