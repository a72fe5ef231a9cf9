//! Texts and pictures inside XML and HTML.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A text for an element or a quoted attribute of XML and HTML. Characters that no XML 1.0 document may hold, control
/// characters above all, become U+FFFD: a file name can have any of them.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(' '),
            _ if letter.is_control() || "\u{fffe}\u{ffff}".contains(letter) => escaped.push('\u{fffd}'),
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// A file inside a document (RFC 2397).
pub(super) fn data_uri(media_type: &str, bytes: &[u8]) -> String {
    let mut uri = format!("data:{media_type};base64,");
    STANDARD.encode_string(bytes, &mut uri);
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_markup() {
        assert_eq!(
            escaped("<script>'a' & \"b\"</script>"),
            "&lt;script&gt;&#39;a&#39; &amp; &quot;b&quot;&lt;/script&gt;"
        );
        assert_eq!(
            escaped("a\u{0}\u{1b}\u{7f}\u{85}\u{ffff}b\nc"),
            "a\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}b c"
        );
        assert_eq!(escaped("größe 猫 ₊"), "größe 猫 ₊");
    }

    #[test]
    fn data_are_padded_base64() {
        // RFC 4648, section 10.
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(data_uri("image/png", bytes.as_bytes()), format!("data:image/png;base64,{text}"));
        }
    }
}
