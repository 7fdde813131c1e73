//! Who has which ports of one protocol. Neighbours that have the same holders are one span, so that ten thousand in a
//! row take no more room than one.

use std::collections::BTreeMap;

use crate::port::PortRange;

/// Ports with their holders, by the first of each span. No two spans overlap, and none is without a holder.
#[derive(Debug)]
pub(super) struct Spans<H>(BTreeMap<u32, Span<H>>);

#[derive(Debug)]
struct Span<H> {
    last: u32,
    holders: Vec<H>,
}

impl<H> Default for Spans<H> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<H: Clone + PartialEq> Spans<H> {
    /// Who has a port.
    pub(super) fn at(&self, port: u16) -> &[H] {
        let before = self.0.range(..=u32::from(port)).next_back();
        before.filter(|(_, span)| span.last >= u32::from(port)).map_or(&[], |(_, span)| &span.holders)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Somebody has these ports, beside whoever has them already.
    pub(super) fn add(&mut self, ports: PortRange, holder: &H) {
        let (first, end) = self.cut_out(ports);
        let mut gap = first;
        let mut gaps = Vec::new();
        for (start, span) in self.0.range_mut(first..end) {
            if gap < *start {
                gaps.push((gap, *start - 1));
            }
            span.holders.push(holder.clone());
            gap = span.last + 1;
        }
        if gap < end {
            gaps.push((gap, end - 1));
        }
        for (start, last) in gaps {
            // Mostly there is one holder: room for more would be most of what thousands of ports take.
            self.0.insert(start, Span { last, holders: vec![holder.clone()] });
        }
        self.join_within(first, end);
    }

    /// Somebody does not have these ports any more.
    pub(super) fn remove(&mut self, ports: PortRange, holder: &H) {
        let (first, end) = self.cut_out(ports);
        let mut free = Vec::new();
        for (start, span) in self.0.range_mut(first..end) {
            span.holders.retain(|it| it != holder);
            if span.holders.is_empty() {
                free.push(*start);
            }
        }
        for start in free {
            self.0.remove(&start);
        }
        self.join_within(first, end);
    }

    /// Lets spans begin and end where these ports do: the first, and the one behind the last.
    fn cut_out(&mut self, ports: PortRange) -> (u32, u32) {
        let (first, end) = (u32::from(ports.first()), u32::from(ports.last()) + 1);
        self.cut(first);
        self.cut(end);
        (first, end)
    }

    fn cut(&mut self, at: u32) {
        let Some((_, span)) = self.0.range_mut(..at).next_back().filter(|(_, span)| span.last >= at) else { return };
        let behind = Span { last: span.last, holders: span.holders.clone() };
        span.last = at - 1;
        self.0.insert(at, behind);
    }

    /// Joins what begins from the first to the end with what is before it, where both have the same holders.
    fn join_within(&mut self, first: u32, end: u32) {
        let starts: Vec<u32> = self.0.range(first..=end).map(|(start, _)| *start).collect();
        for start in starts {
            let Some(span) = self.0.get(&start) else { continue };
            let (last, holders) = (span.last, &span.holders);
            let Some((before, _)) =
                self.0.range(..start).next_back().filter(|(_, it)| it.last + 1 == start && it.holders == *holders)
            else {
                continue;
            };
            let before = *before;
            self.0.remove(&start);
            if let Some(span) = self.0.get_mut(&before) {
                span.last = last;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u16, last: u16) -> PortRange {
        PortRange::new(first, last).unwrap()
    }

    #[test]
    fn ports_in_a_row_are_one_span_in_whatever_order_they_come_and_go() {
        let mut spans = Spans::default();
        (1..=u16::MAX).rev().step_by(2).for_each(|port| spans.add(range(port, port), &'a'));
        (1..u16::MAX).step_by(2).for_each(|port| spans.add(range(port + 1, port + 1), &'a'));
        assert_eq!(spans.0.len(), 1);
        (2..=u16::MAX).for_each(|port| spans.remove(range(port, port), &'a'));
        assert_eq!((spans.at(1), spans.at(2), spans.0.len()), (&['a'][..], &[][..], 1));
        spans.remove(range(1, u16::MAX), &'a');
        assert!(spans.is_empty());
    }

    /// By a way that can't be wrong: a list of holders for each port.
    #[test]
    fn whatever_comes_and_goes_each_port_has_its_holders() {
        const PORTS: u16 = 24;
        let mut spans = Spans::default();
        let mut plain = vec![Vec::new(); usize::from(PORTS)];
        let mut number = 7u32;
        let mut any = |below: u16| {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (number >> 16) as u16 % below
        };
        for _ in 0..5000 {
            let first = 1 + any(PORTS - 1);
            let ports = range(first, first + any(PORTS - first));
            let holder = [b'a', b'b', b'c'][usize::from(any(3))];
            let of_all = usize::from(ports.first())..=usize::from(ports.last());
            match any(2) {
                0 => {
                    spans.add(ports, &holder);
                    plain[of_all].iter_mut().for_each(|holders| holders.push(holder));
                }
                _ => {
                    spans.remove(ports, &holder);
                    plain[of_all].iter_mut().for_each(|holders| holders.retain(|it| *it != holder));
                }
            }
            for port in 1..PORTS {
                assert_eq!(spans.at(port), plain[usize::from(port)], "{port}");
            }
            let alike = plain[1..].chunk_by(|one, other| one == other).filter(|alike| !alike[0].is_empty());
            assert_eq!(spans.0.len(), alike.count());
        }
    }
}
