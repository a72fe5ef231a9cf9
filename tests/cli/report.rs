//! `perturb --report`: a page of the curves.

use crate::run::{Place, Ran};
use serde_json::Value;

fn perturb(place: &Place, arguments: &str) -> Ran {
    place.vggx(&format!(
        "perturb --weights net.safetensors --patterns patterns.safetensors --resize 14 --crop 12 --patch 3 --steps 4 {arguments}"
    ))
}

#[test]
fn the_page_has_what_the_json_has() {
    let place = Place::new();
    place.picture("<b>&.png", 7);
    place.write("broken.png", "");
    let call = "a.png b.png <b>&.png broken.png --method gradient,pattern-attribution -o c.json --report page/r.html";
    perturb(&place, call).expect(3, &["broken.png", "3 images for page/r.html"]);
    let (page, json) = (String::from_utf8(place.read("page/r.html")).unwrap(), place.json("c.json"));
    let methods = json["methods"].as_object().unwrap();
    assert_eq!(methods.len(), 3);
    for (name, curve) in methods {
        assert!(page.contains(&format!("<bdi>{name}</bdi>")), "{name}");
        let mut numbers = vec![&curve["aopc"]];
        numbers.extend(curve["mean"].as_array().unwrap());
        for number in numbers {
            let text = format!("{:.4}", number.as_f64().unwrap()).replace('-', "−");
            assert!(page.contains(&format!("<td>{text}</td>")), "{name}: {text}");
        }
        // A curve of its own for each image.
        for (image, values) in curve["images"].as_object().unwrap() {
            let values: Vec<String> = values
                .as_array()
                .unwrap()
                .iter()
                .map(|value| format!("{:.4}", value.as_f64().unwrap()))
                .collect();
            assert!(page.contains(&format!("data-values=\"{}\"", values.join(" "))), "{name} {image}");
        }
    }
    assert!(page.contains("&lt;b&gt;&amp;.png") && !page.contains("<b>&"));
    assert!(page.contains("mean over 3 images; bands"));
    assert!(page.contains("is empty (0 bytes)"), "the input that failed");
    // Three images: as they are, and two explanations of each.
    assert_eq!(page.matches("data:image/jpeg").count(), 9);
    for (option, value) in json["run"].as_object().unwrap() {
        assert!(page.contains(&format!("<bdi>{option}</bdi>")), "{option}");
        if let Value::String(value) = value {
            assert!(page.contains(&format!("<bdi>{value}</bdi>")), "{option} {value}");
        }
    }
    // Again, with nothing left to do: the same page, whatever the threads.
    perturb(&place, &format!("{call} --threads 1 --batch 1")).expect(3, &["3 of 4 images kept"]);
    assert!(String::from_utf8(place.read("page/r.html")).unwrap() == page);
}

#[test]
fn other_files_are_not_lost() {
    let place = Place::new();
    let call =
        |report: &str| perturb(&place, &format!("a.png --method gradient -o c.json --report {report}"));
    let before = place.read("a.png");
    call("a.png").expect(2, &["--report", "the input"]);
    call("patterns.safetensors").expect(2, &["--report", "--patterns"]);
    call("net.safetensors").expect(2, &["--report", "the weights"]);
    call("c.json").expect(2, &["--report", "same file"]);
    call("c.svg").expect(2, &["--report", "same file"]);
    place.write("mine.html", "<p>mine</p>");
    call("mine.html").expect(1, &["mine.html", "not a report", "--overwrite"]);
    assert_eq!(place.read("mine.html"), b"<p>mine</p>");
    assert!(place.read("a.png") == before);
    assert!(!place.file("c.json").exists());
    call("new.html").done();
    call("new.html").done();
}
