//! AMX: products of tiles of bf16, summed in f32.
//!
//! A tile is 16 rows of 64 bytes. Two neighbours along K lie in one *slot*, the memory of an f32
//! that is never computed with, so a tile of the left side is `[16 rows][16 pairs]` and one of the
//! right side `[16 pairs][16 columns]`. The intrinsics are not stable yet; the instructions are
//! written out, and Linux is asked once for the register state.

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{TileDot, TileSource};

#[cfg(not(target_arch = "x86_64"))]
pub(crate) use other::{TileDot, TileSource};

/// Rows of a tile, pairs along K in it, and columns of a tile of sums.
pub(crate) const TILE: usize = 16;
/// Slots of a tile.
pub(crate) const TILE_SLOTS: usize = TILE * TILE;
/// Tiles of columns side by side in a panel.
pub(crate) const TILES_ACROSS: usize = 3;

/// Which way a packed tile lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TileOrder {
    /// `[16 rows][16 pairs]`
    Left,
    /// `[16 pairs][16 columns]`
    Right,
}

/// Where a tile comes from: the start of its lines in memory and how much of it there is.
#[derive(Clone, Copy)]
pub(crate) struct TileCorner<'a, T> {
    /// From the first element on.
    pub(crate) data: &'a [T],
    /// From one line to the next.
    pub(crate) stride: usize,
    /// Rows (of the left side; columns of the right) inside the matrix.
    pub(crate) rows: usize,
    /// Elements along K inside the matrix.
    pub(crate) depth: usize,
    /// Whether a line runs along K, else along the rows.
    pub(crate) along_k: bool,
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::arch::x86_64::*;
    use std::sync::OnceLock;

    use half::bf16;

    use super::super::avx512::Avx512;
    use super::super::{PairDot, Simd};
    use super::{TILE, TILE_SLOTS, TILES_ACROSS, TileCorner, TileOrder};

    /// Elements along K of a tile.
    const DEPTH: usize = 2 * TILE;

    /// The proof that this machine has AMX-BF16 beside AVX512-BF16, and that the system lets this
    /// process use it.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct TileDot(Avx512);

    impl TileDot {
        /// The token, if the machine has the instructions.
        pub(crate) fn detect() -> Option<Self> {
            static PERMITTED: OnceLock<bool> = OnceLock::new();
            let simd = Avx512::detect()?;
            let permitted = || PairDot::detect().is_some() && has_instructions() && permit();
            PERMITTED.get_or_init(permitted).then_some(Self(simd))
        }

        /// Runs `work` with the tile registers of this thread set up.
        pub(crate) fn with_tiles<R>(self, work: impl FnOnce() -> R) -> R {
            struct Release;
            impl Drop for Release {
                fn drop(&mut self) {
                    // SAFETY: the machine has the instruction, which only clears the registers.
                    unsafe { asm!("tilerelease", options(nostack, nomem)) };
                }
            }
            let config = Config::default();
            // SAFETY: the machine has the instruction, the system permits the state, and the
            // memory holds a valid configuration.
            unsafe {
                asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly))
            };
            let _release = Release;
            work()
        }

        /// `sums [16, 48] += a [tiles][16][16 pairs] · b [tiles][3][16 pairs][16]`, inside
        /// [`TileDot::with_tiles`].
        pub(crate) fn add(self, a: &[f32], b: &[f32], sums: &mut [f32]) {
            let tiles = a.len() / TILE_SLOTS;
            assert!(
                b.len() == TILES_ACROSS * a.len() && sums.len() == TILES_ACROSS * TILE_SLOTS,
                "tiles that do not fit"
            );
            if tiles == 0 {
                return;
            }
            // SAFETY: the machine has the instructions; the loop reads `tiles` tiles of `a` and
            // three times as many of `b`, and writes 16 rows of three tiles, whose sizes were
            // checked. Without a configuration the first instruction traps.
            unsafe {
                asm!(
                    "tileloadd tmm0, [{sums} + {row}*1]",
                    "tileloadd tmm1, [{sums} + {row}*1 + 64]",
                    "tileloadd tmm2, [{sums} + {row}*1 + 128]",
                    "2:",
                    "tileloadd tmm3, [{a} + {line}*1]",
                    "tileloadd tmm4, [{b} + {line}*1]",
                    "tdpbf16ps tmm0, tmm3, tmm4",
                    "tileloadd tmm5, [{b} + {line}*1 + 1024]",
                    "tdpbf16ps tmm1, tmm3, tmm5",
                    "tileloadd tmm6, [{b} + {line}*1 + 2048]",
                    "tdpbf16ps tmm2, tmm3, tmm6",
                    "add {a}, 1024",
                    "add {b}, 3072",
                    "dec {tiles}",
                    "jnz 2b",
                    "tilestored [{sums} + {row}*1], tmm0",
                    "tilestored [{sums} + {row}*1 + 64], tmm1",
                    "tilestored [{sums} + {row}*1 + 128], tmm2",
                    a = inout(reg) a.as_ptr() => _,
                    b = inout(reg) b.as_ptr() => _,
                    tiles = inout(reg) tiles => _,
                    sums = in(reg) sums.as_mut_ptr(),
                    line = in(reg) 64usize,
                    row = in(reg) TILES_ACROSS * TILE * size_of::<f32>(),
                    options(nostack),
                );
            }
        }

        /// Lays one tile out, rounded to bf16; what is outside the matrix becomes zeros.
        pub(crate) fn pack<T: TileSource>(
            self,
            corner: TileCorner<T>,
            order: TileOrder,
            tile: &mut [f32],
        ) {
            // SAFETY: the caller holds a `TileDot`, so the machine has the features.
            unsafe { pack(self.0, corner, order, tile) }
        }
    }

    /// What LDTILECFG reads: eight tiles of 16 rows of 64 bytes.
    #[repr(C, align(64))]
    struct Config {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }

    impl Default for Config {
        fn default() -> Self {
            let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
            row_bytes[..8].fill(64);
            rows[..8].fill(TILE as u8);
            Self {
                palette: 1,
                start_row: 0,
                reserved: [0; 14],
                row_bytes,
                rows,
            }
        }
    }

    /// Whether CPUID names AMX-TILE and AMX-BF16.
    fn has_instructions() -> bool {
        const LEAF: u32 = 7;
        const BF16_AND_TILE: u32 = 1 << 22 | 1 << 24;
        #[expect(
            unused_unsafe,
            reason = "unsafe in the oldest compiler that this builds with"
        )]
        // SAFETY: every x86-64 machine has CPUID.
        let (most, leaf) = unsafe { (__cpuid(0).eax, __cpuid_count(LEAF, 0)) };
        most >= LEAF && leaf.edx & BF16_AND_TILE == BF16_AND_TILE
    }

    /// Asks the system for the tile registers, for all threads of this process.
    #[cfg(target_os = "linux")]
    fn permit() -> bool {
        const ARCH_PRCTL: isize = 158;
        const REQUEST_PERMISSION: usize = 0x1023;
        const TILE_DATA: usize = 18;
        let answer: isize;
        // SAFETY: the call reads no memory of ours; the clobbers are those of every system call.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") ARCH_PRCTL => answer,
                in("rdi") REQUEST_PERMISSION,
                in("rsi") TILE_DATA,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        answer == 0
    }

    #[cfg(not(target_os = "linux"))]
    fn permit() -> bool {
        false
    }

    /// Numbers that become tiles of bf16.
    pub(crate) trait TileSource: Copy + Send + Sync {
        /// Up to 32 neighbours as bf16, then zeros.
        ///
        /// # Safety
        /// The machine has AVX512-BF16; call from a function compiled for it.
        unsafe fn line(values: &[Self]) -> __m512i;

        /// Up to 16 numbers of each line as bf16, then zeros: those of `even` in the lower half.
        ///
        /// # Safety
        /// As [`TileSource::line`].
        unsafe fn halves(even: &[Self], odd: &[Self]) -> __m512i;
    }

    /// A mask of the first `len` of 16 or 32 lanes.
    #[inline(always)]
    fn first(len: usize) -> u32 {
        if len >= 32 { !0 } else { (1 << len) - 1 }
    }

    impl TileSource for f32 {
        #[inline(always)]
        unsafe fn line(values: &[f32]) -> __m512i {
            let (low, high) = values.split_at(values.len().min(TILE));
            // SAFETY: as the caller's promise.
            unsafe { Self::halves(low, high) }
        }

        #[inline(always)]
        unsafe fn halves(even: &[f32], odd: &[f32]) -> __m512i {
            // SAFETY: the loads are masked to the slices, the conversion is the caller's promise,
            // and both types are 64 bytes in which every pattern is a value.
            unsafe {
                let low = _mm512_maskz_loadu_ps(first(even.len()) as u16, even.as_ptr());
                let high = _mm512_maskz_loadu_ps(first(odd.len()) as u16, odd.as_ptr());
                std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
            }
        }
    }

    impl TileSource for bf16 {
        #[inline(always)]
        unsafe fn line(values: &[bf16]) -> __m512i {
            // SAFETY: the load is masked to the slice.
            unsafe { _mm512_maskz_loadu_epi16(first(values.len()), values.as_ptr().cast()) }
        }

        #[inline(always)]
        unsafe fn halves(even: &[bf16], odd: &[bf16]) -> __m512i {
            // SAFETY: the loads are masked to the slices.
            unsafe {
                let low = _mm256_maskz_loadu_epi16(first(even.len()) as u16, even.as_ptr().cast());
                let high = _mm256_maskz_loadu_epi16(first(odd.len()) as u16, odd.as_ptr().cast());
                _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
            }
        }
    }

    /// Positions that put number n of the lower half and number n of the upper one side by side.
    const INTERLEAVED: [u16; DEPTH] = {
        let mut positions = [0; DEPTH];
        let mut i = 0;
        while i < DEPTH {
            positions[i] = (i / 2 + i % 2 * TILE) as u16;
            i += 1;
        }
        positions
    };

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,bmi2,fma")]
    fn pack<T: TileSource>(
        simd: Avx512,
        corner: TileCorner<T>,
        order: TileOrder,
        tile: &mut [f32],
    ) {
        let mut lines = [_mm512_setzero_ps(); TILE];
        let data = corner.data;
        if corner.along_k {
            let depth = corner.depth.min(DEPTH);
            for (r, line) in lines.iter_mut().enumerate().take(corner.rows) {
                let start = r * corner.stride;
                // SAFETY: this function is compiled for the set.
                *line = _mm512_castsi512_ps(unsafe { T::line(&data[start..start + depth]) });
            }
        } else {
            // SAFETY: the array has the register's size.
            let interleaved = unsafe { _mm512_loadu_si512(INTERLEAVED.as_ptr().cast()) };
            let rows = corner.rows.min(TILE);
            let across = |k: usize| match k < corner.depth {
                true => &data[k * corner.stride..k * corner.stride + rows],
                false => &[],
            };
            for (pair, line) in lines.iter_mut().enumerate() {
                // SAFETY: this function is compiled for the set.
                let halves = unsafe { T::halves(across(2 * pair), across(2 * pair + 1)) };
                *line = _mm512_castsi512_ps(_mm512_permutexvar_epi16(interleaved, halves));
            }
        }
        if corner.along_k != (order == TileOrder::Left) {
            simd.transpose(&mut lines);
        }
        for (target, &line) in tile.chunks_exact_mut(TILE).zip(&lines) {
            simd.store(target, line);
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod other {
    use half::bf16;

    use super::{TileCorner, TileOrder};

    /// There is no such machine, so there is no such value.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum TileDot {}

    /// Numbers that become tiles of bf16.
    pub(crate) trait TileSource: Copy + Send + Sync {}

    impl TileSource for f32 {}
    impl TileSource for bf16 {}

    impl TileDot {
        pub(crate) fn detect() -> Option<Self> {
            None
        }

        pub(crate) fn with_tiles<R>(self, _work: impl FnOnce() -> R) -> R {
            match self {}
        }

        pub(crate) fn add(self, _a: &[f32], _b: &[f32], _sums: &mut [f32]) {
            match self {}
        }

        pub(crate) fn pack<T: TileSource>(
            self,
            _corner: TileCorner<T>,
            _order: TileOrder,
            _tile: &mut [f32],
        ) {
            match self {}
        }
    }
}
