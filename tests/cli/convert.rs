//! `vggx convert` and the options that say how pixels become the input.

use crate::run::Place;
use crate::support::{Model, open};
use safetensors::Dtype;

#[test]
fn weights_become_safetensors_with_all_there_is_to_say() {
    let place = Place::new();
    Model::tiny_classifier(1).timm(2).save(place.path(), "timm.safetensors", Dtype::F16);
    let ran = place
        .vggx("convert timm.safetensors new/folder/made.safetensors --json --preprocessing caffe")
        .done();
    let row = &ran.rows()[0];
    assert_eq!((row["format"].as_str(), row["outputs"].as_u64()), (Some("safetensors"), Some(8)));
    assert_eq!(row["preprocessing"]["channel_order"], "bgr");
    let (from, to) = (
        open(&place.file("timm.safetensors")).unwrap(),
        open(&place.file("new/folder/made.safetensors")).unwrap(),
    );
    assert_eq!(from.digest(), to.digest());
    assert_eq!(to.weight(2).name(), "classifier.0.weight");
    assert_eq!(to.network().preprocessing.mean, [103.939, 116.779, 123.68]);
    assert!(to.metadata()["source"].contains("timm.safetensors"));
    assert_eq!(to.metadata()["architecture"], "\"custom\"");
    assert!(
        to.metadata()["origins"]
            .contains(r#""classifier.0":["pre_logits.fc1.weight","pre_logits.fc1.bias"]"#)
    );
    let info = place.vggx("info new/folder/made.safetensors").done().out;
    assert!(info.contains("from the file's metadata"), "{info}");
    let info = place.vggx("info timm.safetensors").done().out;
    assert!(info.contains("torchvision's, since the file says nothing"), "{info}");
    assert!(info.contains("← pre_logits.fc1.weight, pre_logits.fc1.bias"), "{info}");
    let info = &place.vggx("info --json timm.safetensors").done().rows()[0];
    assert_eq!(info["layers"][5]["origins"][0], "pre_logits.fc1.weight");

    // Options go over the name, and the name over the file.
    place
        .vggx("convert new/folder/made.safetensors unit.safetensors --preprocessing unit --std 0.5,0.25,2")
        .done();
    let unit = open(&place.file("unit.safetensors")).unwrap().network().preprocessing;
    assert_eq!((unit.pixel_scale, unit.mean, unit.std), (1.0, [0.0; 3], [0.5, 0.25, 2.0]));
    place.vggx("convert timm.safetensors x.safetensors --preprocessing lab").expect(2, &[]);
}

#[test]
fn nothing_is_lost_and_nothing_half_written() {
    let place = Place::new();
    std::fs::write(place.file("there.safetensors"), "mine").unwrap();
    let ran = place.vggx("convert net.safetensors there.safetensors").expect(1, &[]);
    assert!(ran.err.contains("--overwrite"), "{}", ran.err);
    assert_eq!(std::fs::read(place.file("there.safetensors")).unwrap(), b"mine");
    place.vggx("convert net.safetensors there.safetensors --overwrite --quiet").done();
    open(&place.file("there.safetensors")).unwrap();
    let ran = place.vggx("convert net.safetensors ./net.safetensors --overwrite").expect(2, &[]);
    assert!(ran.err.contains("the same file"), "{}", ran.err);
    let ran = place.vggx("convert net.safetensors other.onnx").expect(2, &[]);
    assert!(ran.err.contains("safetensors is written, not .onnx"), "{}", ran.err);
    // Refused weights leave nothing.
    std::fs::write(place.file("broken.pth"), b"PK\x03\x04 this is no archive").unwrap();
    place.vggx("convert broken.pth made.safetensors").expect(1, &[]);
    let mut infinite = Model::tiny(1);
    infinite.tensors.get_mut("features.0.bias").unwrap().1[0] = f32::INFINITY;
    infinite.save(place.path(), "infinite.safetensors", Dtype::F32);
    place.vggx("convert infinite.safetensors made.safetensors").expect(1, &[]);
    assert!(!place.file("made.safetensors").exists());
    place.vggx("convert missing.onnx made.safetensors").expect(1, &[]);
}

#[test]
fn what_was_left_out_is_said_by_every_command() {
    let place = Place::new();
    let mut model = Model::tiny_classifier(2);
    for (name, (_, values)) in &mut model.tensors {
        if name.starts_with("classifier") {
            values.fill(f32::NAN);
        }
    }
    model.save(place.path(), "nan.safetensors", Dtype::F32);
    let ran = place.vggx("convert nan.safetensors features.safetensors").done();
    assert!(ran.err.contains("note: every number of the classifier is NaN"), "{}", ran.err);
    place.picture("a.png", 1);
    let explain =
        "explain a.png --weights nan.safetensors --resize 16 --crop 16 --method gradient --device cpu";
    let ran = place.vggx(&format!("{explain} --output told")).done();
    assert!(ran.err.contains("classifier is NaN"), "{}", ran.err);
    let ran = place.vggx(&format!("{explain} --output quiet --quiet")).done();
    assert!(ran.err.is_empty(), "{}", ran.err);
}

#[test]
fn one_output_alone_has_no_probability() {
    let place = Place::new();
    Model::vgg(&[vec![4], vec![5]], 2, &[6, 1], 3).save(place.path(), "one.safetensors", Dtype::F32);
    place.picture("a.png", 1);
    place
        .vggx("explain a.png --weights one.safetensors --resize 16 --crop 16 --method gradient --device cpu")
        .done();
    let row = &place.manifest("explanations")[0];
    assert!(row["probability"].is_null() && row["response"].is_number(), "{row}");
}
