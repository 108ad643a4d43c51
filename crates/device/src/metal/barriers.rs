//! Which launches of a concurrent encoder must wait for the ones before them.

/// Bytes of a buffer that a launch touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Touch {
    /// What tells buffers apart.
    pub buffer: usize,
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// False for bytes that are only read.
    pub writes: bool,
}

impl Touch {
    fn collides(&self, other: &Touch) -> bool {
        self.buffer == other.buffer && (self.writes || other.writes) && self.start < other.end && other.start < self.end
    }
}

/// What was touched since the last barrier.
#[derive(Default)]
pub(super) struct Barriers {
    since: Vec<Touch>,
}

impl Barriers {
    /// Whether a barrier must stand before a launch that touches `touches`. A barrier is counted as placed.
    pub fn before(&mut self, touches: &[Touch]) -> bool {
        let needed = touches.iter().any(|t| self.since.iter().any(|s| t.collides(s)));
        if needed {
            self.since.clear();
        }
        self.since.extend_from_slice(touches);
        needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(buffer: usize, start: usize, end: usize, writes: bool) -> Touch {
        Touch { buffer, start, end, writes }
    }

    #[test]
    fn only_launches_that_depend_on_each_other_wait() {
        let mut b = Barriers::default();
        assert!(!b.before(&[touch(1, 0, 64, false), touch(2, 0, 64, true)]), "the first has nothing before it");
        assert!(!b.before(&[touch(1, 0, 64, false), touch(3, 0, 64, true)]), "both only read buffer 1");
        assert!(!b.before(&[touch(2, 64, 128, true)]), "another part of buffer 2");
        assert!(b.before(&[touch(2, 60, 70, false)]), "reads what was written");
        assert!(!b.before(&[touch(3, 0, 64, false)]), "the barrier covers everything before it");
        assert!(b.before(&[touch(3, 0, 1, true)]), "writes what is being read");
        assert!(b.before(&[touch(3, 0, 1, true)]), "writes what is being written");
        assert!(!b.before(&[touch(3, 1, 1, true)]), "no bytes collide with nothing");
    }
}
