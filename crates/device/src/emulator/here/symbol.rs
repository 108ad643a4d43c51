//! From an address in a kernel to the line of the user's source, through inlined calls.

use std::path::Path;

use addr2line::Loader;

use super::super::fault::Place;

/// Number of a place in a module's code, 0 for none known.
pub(super) type Site = u32;

/// The places of one library. Looked up once an address; afterwards an address costs one load.
pub(super) struct Sites {
    loader: Option<Loader>,
    base: usize,
    /// By offset from `base`: 0 not looked up yet, 1 no place of the user's, else the site plus 1.
    known: Vec<u32>,
    places: Vec<Place>,
}

const UNKNOWN: u32 = 0;
const FOREIGN: u32 = 1;

impl Sites {
    /// The library at `path`, loaded at `base`.
    pub(super) fn new(path: &Path, base: usize) -> Sites {
        // Code is mapped from the file, so no offset of code is far beyond its length.
        let length = std::fs::metadata(path).map_or(0, |m| m.len() as usize) + (1 << 16);
        let nowhere = Place { file: String::new(), line: 0 };
        Sites { loader: Loader::new(path).ok(), base, known: vec![UNKNOWN; length], places: vec![nowhere] }
    }

    /// The site of a call that returns to `pc`; `hook` is the frame address of the function that was called.
    ///
    /// # Safety
    /// The call came from kernel code, which keeps frame pointers, on the stack that ends at `top`.
    #[inline]
    pub(super) unsafe fn site(&mut self, pc: usize, hook: usize, top: usize) -> Site {
        match self.known.get(pc.wrapping_sub(self.base)) {
            Some(&site) if site > FOREIGN => site - 1,
            // SAFETY: the caller's promise; a frame starts with the address of its caller's.
            _ => unsafe { self.site_of_frame(pc, (hook as *const usize).read(), top) },
        }
    }

    /// The innermost site of the user's for an address `pc` in the function whose frame is `frame`.
    ///
    /// # Safety
    /// As for [`Sites::site`].
    #[cold]
    pub(super) unsafe fn site_of_frame(&mut self, mut pc: usize, mut frame: usize, top: usize) -> Site {
        for _ in 0..16 {
            match self.look_up(pc) {
                UNKNOWN => return 0,
                FOREIGN => {}
                site => return site - 1,
            }
            if frame >= top.saturating_sub(16) || top - frame > 1 << 20 || !frame.is_multiple_of(8) {
                return 0;
            }
            // SAFETY: the frame lies on the stack: first its caller's frame, then the address to return to.
            let (caller, back) = unsafe { ((frame as *const usize).read(), (frame as *const usize).add(1).read()) };
            if caller <= frame {
                return 0;
            }
            (frame, pc) = (caller, back);
        }
        0
    }

    /// The entry of `known` for `pc`; [`UNKNOWN`] for an address outside of the library.
    fn look_up(&mut self, pc: usize) -> u32 {
        let Some(offset) = pc.checked_sub(self.base).filter(|&o| o > 0 && o < self.known.len()) else {
            return UNKNOWN;
        };
        if self.known[offset] == UNKNOWN {
            self.known[offset] = match self.find(offset) {
                Some(place) => self.intern(place) + 1,
                None => FOREIGN,
            };
        }
        self.known[offset]
    }

    /// The innermost frame that is the user's own.
    fn find(&self, offset: usize) -> Option<Place> {
        let loader = self.loader.as_ref()?;
        // The call is before the address that it returns to.
        let probe = loader.relative_address_base() + offset as u64 - 1;
        let mut frames = loader.find_frames(probe).ok()?;
        while let Ok(Some(frame)) = frames.next() {
            if let Some(at) = frame.location
                && let (Some(file), Some(line)) = (at.file, at.line)
                && line > 0
                && !support(file)
            {
                return Some(Place { file: shorten(file).to_owned(), line });
            }
        }
        None
    }

    /// The site of a place that the support library told.
    pub(super) fn intern(&mut self, place: Place) -> Site {
        let at = self.places.iter().rposition(|p| *p == place).unwrap_or_else(|| {
            self.places.push(place);
            self.places.len() - 1
        });
        at as Site
    }

    /// The place of a site.
    pub(super) fn place(&self, site: Site) -> Option<Place> {
        self.places.get(site as usize).filter(|p| p.line > 0).cloned()
    }
}

/// Whether a file is the support library's or the instrumentation's own.
fn support(file: &str) -> bool {
    file.ends_with("metallic-shim.cpp") || file.contains("metallic-msl:")
}

/// Debug information joins relative names to the folder of the compilation, for which the build says this one.
fn shorten(file: &str) -> &str {
    file.strip_prefix("/metallic-kernel/").unwrap_or(file)
}
