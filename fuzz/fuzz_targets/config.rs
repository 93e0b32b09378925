#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use steadfast::core::config::keywords;

fuzz_target!(|data: &[u8]| steadfast::core::config::fuzz(data));

// Half of the time bytes change, half of the time whole lines, with words of the dialect.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut chance = Chance(u64::from(seed));
    if chance.below(2) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let text = String::from_utf8_lossy(&data[..size]).into_owned();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..=chance.below(3) {
        mutate(&mut lines, &mut chance);
    }
    let bytes = lines.join("\n").into_bytes();
    let length = bytes.len().min(max_size);
    data[..length].copy_from_slice(&bytes[..length]);
    length
});

struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

/// A line of the table, with values that may fit.
fn line(chance: &mut Chance) -> String {
    let row = &keywords::all()[chance.below(keywords::all().len())];
    let values = ["1", "0", "255", "-1", "1.5", "10.0.0.1", "fe80::1/64", "eth0", "VI_1", "on", "off", "\"x y\"", "}", "{", "99999999999"];
    let mut text = row.name.to_owned();
    for _ in 0..chance.below(4) {
        text.push(' ');
        text.push_str(values[chance.below(values.len())]);
    }
    if keywords::opens_block(row.block, row.name) {
        text.push_str(" {");
    }
    text
}

fn mutate(lines: &mut Vec<String>, chance: &mut Chance) {
    let at = chance.below(lines.len() + 1);
    let other = chance.below(lines.len().max(1));
    match chance.below(8) {
        0 | 1 => lines.insert(at, line(chance)),
        2 if at < lines.len() => lines[at] = line(chance),
        3 if at < lines.len() => drop(lines.remove(at)),
        4 if other < lines.len() => lines.insert(at, lines[other].clone()),
        5 if at < lines.len() => lines.swap(at, other),
        6 => lines.insert(at, ["}", "{", "$A=\\", "${A}", "~SEQ(I, 1, 3) $I", "@x y", "!@", "include *"][chance.below(8)].to_owned()),
        _ => {
            // A word of a line becomes another one of the same line.
            if let Some(text) = lines.get_mut(at) {
                let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
                let mut changed = words.clone();
                let place = chance.below(changed.len());
                changed[place] = words[chance.below(words.len())].clone();
                *text = changed.join(" ");
            }
        }
    }
}
