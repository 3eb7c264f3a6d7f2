//! Names of performers, albums and pieces: made up, ASCII, unique where they must be.

use crate::rng::Rng;

const COLOURS: [&str; 24] = [
    "amber", "quiet", "paper", "northern", "hollow", "silver", "velvet", "distant", "copper",
    "winter", "painted", "restless", "harbour", "lantern", "glass", "golden", "borrowed",
    "woollen", "early", "crooked", "marble", "salt", "linen", "cedar",
];
const THINGS: [&str; 24] = [
    "kites", "rivers", "clocks", "orchard", "mirrors", "foxes", "engines", "meadow", "signals",
    "ferries", "lamps", "sparrows", "bridges", "maps", "islands", "tides", "ladders", "windows",
    "embers", "gardens", "letters", "compass", "shutters", "poplars",
];
const FORMS: [&str; 9] =
    ["band", "ensemble", "players", "quartet", "society", "trio", "project", "choir", "duo"];
const MOODS: [&str; 20] = [
    "gently",
    "away",
    "in_june",
    "after_rain",
    "at_dawn",
    "once_more",
    "for_nobody",
    "by_night",
    "in_blue",
    "homeward",
    "without_words",
    "slowly",
    "upstairs",
    "in_the_hall",
    "far_out",
    "again",
    "in_passing",
    "for_two",
    "underwater",
    "at_sea",
];

/// A performer that is not in `taken`.
pub fn performer(rng: &mut Rng, taken: &[String]) -> String {
    fresh(taken, || {
        let (colour, thing) = (rng.pick(&COLOURS), rng.pick(&THINGS));
        match rng.below(3) {
            0 => format!("the_{colour}_{thing}"),
            1 => format!("{colour}_{thing}"),
            _ => format!("{colour}_{thing}_{}", rng.pick(&FORMS)),
        }
    })
}

/// An album that is not in `taken`.
pub fn album(rng: &mut Rng, taken: &[String]) -> String {
    fresh(taken, || match rng.below(3) {
        0 => format!("{}_and_{}", rng.pick(&THINGS), rng.pick(&THINGS)),
        1 => format!("{}_{}", rng.pick(&COLOURS), rng.pick(&MOODS)),
        _ => format!("the_{}_{}", rng.pick(&COLOURS), rng.pick(&THINGS)),
    })
}

/// A piece.
pub fn piece(rng: &mut Rng) -> String {
    match rng.below(3) {
        0 => format!("{}_{}", rng.pick(&THINGS), rng.pick(&MOODS)),
        1 => format!("{}_{}", rng.pick(&COLOURS), rng.pick(&THINGS)),
        _ => (*rng.pick(&MOODS)).to_string(),
    }
}

/// `the_amber_kites` as `The Amber Kites`.
pub fn title_case(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or(String::new(), |first| {
            first.to_ascii_uppercase().to_string() + letters.as_str()
        })
    };
    name.split('_').map(word).collect::<Vec<_>>().join(" ")
}

/// Draws until the name is new; after forty tries a number makes it so.
fn fresh(taken: &[String], mut draw: impl FnMut() -> String) -> String {
    for _ in 0..40 {
        let name = draw();
        if !taken.contains(&name) {
            return name;
        }
    }
    format!("{}_{}", draw(), taken.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_albums_have_a_thousand_names() {
        let mut rng = Rng::new(1, "names", &[]);
        let mut taken: Vec<String> = Vec::new();
        for _ in 0..1000 {
            let name = album(&mut rng, &taken);
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            );
            taken.push(name);
        }
        taken.sort();
        taken.dedup();
        assert_eq!(taken.len(), 1000);
        assert_eq!(title_case("the_amber_kites"), "The Amber Kites");
    }
}
