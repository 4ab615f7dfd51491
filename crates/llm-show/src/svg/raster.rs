//! Cells as pixels: PNG files, and the inside of large heatmaps.

use super::palette::Rgb;

/// Pixels of the longer side that an enlarged picture comes close to.
const SIDE: usize = 768;
/// Cells are enlarged to at most so many pixels.
const LARGEST_CELL: usize = 64;
/// The ground and the lines of hatched cells.
pub(super) const HATCH: [Rgb; 2] = [[240, 241, 243], [188, 193, 199]];
/// Pixels from one line of a hatch to the next.
const HATCH_STEP: usize = 8;

/// A grid of colours, row by row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Raster {
    /// Cells in a row.
    pub(super) across: usize,
    /// The colour of each cell; none for a hidden one.
    pub(super) cells: Vec<Option<Rgb>>,
}

impl Raster {
    /// Cells of several pixels each, hidden ones hatched.
    pub(super) fn enlarged(&self) -> Self {
        let down = self.cells.len() / self.across.max(1);
        let zoom = (SIDE / self.across.max(down).max(1)).clamp(1, LARGEST_CELL);
        let (across, down) = (self.across * zoom, down * zoom);
        let pixel = |index: usize| {
            let (x, y) = (index % across, index / across);
            let stripe = usize::from((x + y).is_multiple_of(HATCH_STEP));
            self.cells[y / zoom * self.across + x / zoom].or(Some(HATCH[stripe]))
        };
        Self {
            across,
            cells: (0..across * down).map(pixel).collect(),
        }
    }

    /// The file; hidden cells are grey.
    pub(super) fn png(&self) -> Option<Vec<u8>> {
        let across = u32::try_from(self.across).ok()?;
        let down = u32::try_from(self.cells.len() / self.across.max(1)).ok()?;
        let pixels: Vec<u8> = self
            .cells
            .iter()
            .flat_map(|cell| cell.unwrap_or(HATCH[0]))
            .collect();
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, across, down);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().ok()?;
        writer.write_image_data(&pixels).ok()?;
        writer.finish().ok()?;
        Some(file)
    }

    /// The file as an address that a picture can hold.
    pub(super) fn address(&self) -> Option<String> {
        Some(format!("data:image/png;base64,{}", base64(&self.png()?)))
    }
}

/// RFC 4648: three bytes in four letters. So short that it is not worth a crate in every build.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for letter in 0..4 {
            let sextet = (bits >> (18 - 6 * letter)) as usize % 64;
            // Two letters for one byte, three for two.
            let filled = letter <= chunk.len();
            text.push(if filled {
                char::from(LETTERS[sextet])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(file: &[u8]) -> (usize, usize, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (info.width as usize, info.height as usize, pixels)
    }

    #[test]
    fn a_file_reads_back_as_its_cells() {
        let raster = Raster {
            across: 3,
            cells: vec![
                Some([1, 2, 3]),
                Some([4, 5, 6]),
                None,
                Some([7, 8, 9]),
                Some([0, 0, 0]),
                Some([255, 255, 255]),
            ],
        };
        let (width, height, pixels) = decoded(&raster.png().unwrap());
        assert_eq!((width, height), (3, 2));
        assert_eq!(pixels[..6], [1, 2, 3, 4, 5, 6]);
        assert_eq!(pixels[6..9], HATCH[0]);
        assert_eq!(pixels[15..], [255, 255, 255]);

        let (width, height, pixels) = decoded(&raster.enlarged().png().unwrap());
        assert_eq!((width, height), (3 * LARGEST_CELL, 2 * LARGEST_CELL));
        let at = |x: usize, y: usize| &pixels[3 * (y * width + x)..][..3];
        assert_eq!(at(LARGEST_CELL - 1, 0), [1, 2, 3]);
        assert_eq!(at(LARGEST_CELL, 0), [4, 5, 6]);
        assert_eq!(at(0, LARGEST_CELL), [7, 8, 9]);
        assert_eq!(
            at(2 * LARGEST_CELL, 0),
            HATCH[1],
            "hidden cells are hatched"
        );
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        // Section 10 of RFC 4648, and every high bit set.
        let cases: [(&[u8], &str); 7] = [
            (b"", ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"fooba", "Zm9vYmE="),
            (&[255; 3], "////"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(base64(bytes), expected);
        }
    }

    #[test]
    fn large_grids_keep_one_pixel_a_cell() {
        let raster = Raster {
            across: 1000,
            cells: vec![None; 1000],
        };
        assert_eq!(raster.enlarged().cells.len(), 1000);
    }
}
