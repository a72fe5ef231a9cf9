//! Attributions for pictures: the device sums the channels.

use vggx::backend::cuda::Precision;
use vggx::explain::{Explained, Method, Target};
use vggx::output::picture::heat_map_picture;
use vggx::weights::ElementType;

use crate::agreement::explainer;
use crate::reference::random_vgg;
use crate::support::{Case, explain, random_pixels};

const METHODS: [Method; 3] = [Method::PatternAttribution, Method::PatternNet, Method::Gradient];
const SIZE: (usize, usize) = (13, 10);

fn run(case: &Case, precision: Precision, heat_maps: bool) -> Vec<Explained> {
    let explainer = explainer(case, &METHODS, precision);
    let explainer = if heat_maps { explainer.with_heat_maps() } else { explainer };
    let images: Vec<Vec<u8>> = (0..3).map(|seed| random_pixels(seed, SIZE.0, SIZE.1)).collect();
    let pixels: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
    explain(&explainer, SIZE, &pixels, &Target::Top(1))
}

#[test]
fn heat_maps_are_the_sums_of_planes_and_draw_the_same_picture() {
    for classifier in [None, Some((2, &[11, 6][..]))] {
        let case = Case::new(random_vgg(41, 3, &[&[9], &[14, 12]], classifier), ElementType::F32);
        for precision in [Precision::F16, Precision::F32] {
            let (planes, maps) = (run(&case, precision, false), run(&case, precision, true));
            for (planes, maps) in planes.iter().zip(&maps) {
                for (planes, map) in planes.explanations.iter().zip(&maps.explanations) {
                    assert_eq!(planes.method, map.method);
                    if planes.method != Method::PatternAttribution {
                        assert_eq!(planes.values, map.values, "{}", planes.method);
                        continue;
                    }
                    assert_eq!(map.values.len(), SIZE.0 * SIZE.1);
                    assert!(map.values.iter().any(|&value| value != 0.0));
                    let draw =
                        |values: &[f32]| heat_map_picture(values, SIZE.0, SIZE.1, 0.5).expect("a picture");
                    assert!(draw(&planes.values) == draw(&map.values), "other pixels");
                }
            }
        }
    }
}
