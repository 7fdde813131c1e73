//! The same table as nft's words, as a person would type them into `nft -f`.

use std::fmt::Write;

use trestle_core::resource::Resource;

use super::element::elements;
use super::ruleset::{CHAINS, Layout, TABLE};
use super::set::{Definition, Holds, Set, Type};

/// These resources as lines for `nft -f`: the table first if [`Resource::FirewallBase`] is among them, then one line
/// an element, in the order of the resources.
///
/// The text leaves out the mark by which we know our table, so a table made from it by hand is not taken for ours.
pub(in crate::firewall) fn render(resources: &[&Resource]) -> String {
    let mut text = String::new();
    if resources.iter().any(|resource| **resource == Resource::FirewallBase) {
        text.push_str(&table());
    }
    for element in resources.iter().flat_map(|resource| elements(resource)) {
        line(&mut text, format_args!("add element inet {TABLE} {} {{ {element} }}", element.set.name()));
    }
    text
}

fn table() -> String {
    let mut text = String::new();
    line(&mut text, format_args!("table inet {TABLE} {{"));
    for set in Set::ALL {
        set_block(&mut text, &set.definition());
    }
    for layout in &CHAINS {
        chain_block(&mut text, layout);
    }
    line(&mut text, format_args!("}}"));
    text
}

fn set_block(text: &mut String, definition: &Definition) {
    let key = names(definition.key);
    let (word, types) = match definition.holds {
        Holds::Nothing => ("set", key),
        Holds::Verdict => ("map", format!("{key} : verdict")),
        Holds::Values(values) => ("map", format!("{key} : {}", names(values))),
    };
    line(text, format_args!("\t{word} {} {{", definition.name));
    line(text, format_args!("\t\ttype {types}"));
    if definition.interval {
        line(text, format_args!("\t\tflags interval"));
    }
    line(text, format_args!("\t\tcomment \"{}\"", definition.comment));
    line(text, format_args!("\t}}"));
}

fn chain_block(text: &mut String, layout: &Layout) {
    line(text, format_args!("\tchain {} {{", layout.chain.name()));
    line(text, format_args!("\t\tcomment \"{}\"", layout.comment));
    if let Some(hook) = layout.hook {
        line(
            text,
            format_args!("\t\ttype {} hook {} priority {}; policy accept;", hook.kind, hook.name, hook.priority_name),
        );
    }
    for rule in layout.rules {
        line(text, format_args!("\t\t{rule}"));
    }
    line(text, format_args!("\t}}"));
}

fn names(types: &[Type]) -> String {
    types.iter().map(|it| it.name()).collect::<Vec<_>>().join(" . ")
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    writeln!(text, "{arguments}").expect("writing to a string can't fail");
}
