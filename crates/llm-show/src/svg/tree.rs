//! Trees whose leaves stand in one row: what was joined from what, such as the merges of BPE.

use super::Picture;
use super::frame::{HALF_LINE, PAD, SMALL, Sheet, Style, px, shortened};
use super::palette::MUTED;

/// A node and what it was joined from, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Its text; blanks are made visible.
    pub label: String,
    /// From left to right; none for a leaf.
    pub children: Vec<Node>,
}

impl AsRef<[Node]> for Node {
    fn as_ref(&self) -> &[Node] {
        std::slice::from_ref(self)
    }
}

/// Trees side by side go on in a new row beyond this.
const MOST_WIDTH: f64 = 860.0;
/// Pixels from one level to the next, and between rows of trees.
const LEVEL: f64 = 52.0;
const ROWS: f64 = 30.0;
const BOX: f64 = 26.0;
/// Between neighbours, and between trees.
const GAP: f64 = 6.0;
const TREES: f64 = 22.0;
/// Characters of a label.
const LONGEST_LABEL: usize = 24;
/// Pixels of a character in a monospace font, estimated for a wide one.
const CHARACTER: f64 = SMALL * 0.62;

/// A node with its place: x of its middle, levels above the leaves.
struct Placed {
    label: String,
    x: f64,
    wide: f64,
    height: usize,
    children: Vec<Placed>,
}

/// One tree ([`Node`]) or several (a slice), joined from the leaves below to the roots above.
pub fn tree(title: &str, forest: &(impl AsRef<[Node]> + ?Sized)) -> Picture {
    let mut rows: Vec<Vec<Placed>> = Vec::new();
    let mut left = PAD;
    let mut most = left;
    for node in forest.as_ref() {
        let (placed, right) = place(node, left);
        let fits = right + PAD <= MOST_WIDTH;
        let (placed, right) = match rows.last() {
            Some(_) if fits => (placed, right),
            None => (placed, right),
            Some(_) => place(node, PAD),
        };
        match rows.last_mut() {
            Some(row) if fits => row.push(placed),
            _ => rows.push(vec![placed]),
        }
        most = most.max(right);
        left = right + TREES;
    }
    if rows.is_empty() {
        return Picture::nothing(title);
    }
    let mut sheet = Sheet::new(title, (most + PAD).max(300.0));
    let mut top = sheet.top + 4.0;
    for row in &rows {
        let height = row.iter().map(|tree| tree.height).max().unwrap_or(0);
        let bottom = top + height as f64 * LEVEL;
        for tree in row {
            draw_edges(&mut sheet, tree, bottom);
            draw_boxes(&mut sheet, tree, bottom, true);
        }
        top = bottom + BOX + ROWS;
    }
    Picture::drawn(sheet, top - ROWS + PAD)
}

/// Places `node` and what is below it from the pixel `left` on; also the pixel where it ends.
fn place(node: &Node, left: f64) -> (Placed, f64) {
    let label = visible(&shortened(&node.label, LONGEST_LABEL));
    let wide = (columns(&label) * CHARACTER + 14.0).max(BOX);
    let mut right = left;
    let mut children = Vec::new();
    for child in &node.children {
        let start = if children.is_empty() {
            left
        } else {
            right + GAP
        };
        let (child, end) = place(child, start);
        children.push(child);
        right = end;
    }
    // A node wider than its children has them below its middle.
    let shift = (wide - (right - left)).max(0.0) / 2.0;
    if !children.is_empty() && shift > 0.0 {
        children.iter_mut().for_each(|child| child.shift(shift));
    }
    let x = match (children.first(), children.last()) {
        (Some(first), Some(last)) => (first.x + last.x) / 2.0,
        _ => left + wide / 2.0,
    };
    // Not `clamp`: rounding can put the two bounds in the wrong order.
    let x = x
        .min(right.max(left + wide) - wide / 2.0)
        .max(left + wide / 2.0);
    let height = children
        .iter()
        .map(|child| child.height + 1)
        .max()
        .unwrap_or(0);
    let placed = Placed {
        label,
        x,
        wide,
        height,
        children,
    };
    (placed, right.max(left + wide))
}

impl Placed {
    fn shift(&mut self, by: f64) {
        self.x += by;
        self.children.iter_mut().for_each(|child| child.shift(by));
    }

    /// The upper edge of its box.
    fn y(&self, bottom: f64) -> f64 {
        bottom - self.height as f64 * LEVEL
    }
}

/// Blanks as signs that can be seen: what a token starts with matters.
fn visible(label: &str) -> String {
    if label.is_empty() {
        return "∅".into();
    }
    label.replace(' ', "␣")
}

fn columns(label: &str) -> f64 {
    // Control characters are written as their escapes.
    let columns = |c: char| match c.is_control() {
        true => c.escape_debug().count(),
        false => crate::look::width(c.encode_utf8(&mut [0; 4])).max(1),
    };
    label.chars().map(columns).sum::<usize>() as f64
}

fn draw_edges(sheet: &mut Sheet, node: &Placed, bottom: f64) {
    let from = node.y(bottom) + BOX;
    for child in &node.children {
        let to = child.y(bottom);
        let bend = from + (LEVEL - BOX) / 2.0;
        let data = format!(
            "M{} {}V{}H{}V{}",
            px(node.x),
            px(from),
            px(bend),
            px(child.x),
            px(to)
        );
        let more = format!("fill=\"none\" stroke=\"{MUTED}\" stroke-linejoin=\"round\"");
        sheet.path(&data, &more);
        draw_edges(sheet, child, bottom);
    }
}

fn draw_boxes(sheet: &mut Sheet, node: &Placed, bottom: f64, root: bool) {
    let y = node.y(bottom);
    let (fill, edge) = match (node.children.is_empty(), root) {
        (true, _) => ("#f4f5f7", "#c5cbd3"),
        (false, false) => ("#e3f0fa", "#7fb3da"),
        (false, true) => ("#cfe5f6", "#0072b2"),
    };
    let more = format!("rx=\"4\" stroke=\"{edge}\"");
    sheet.rect([node.x - node.wide / 2.0, y], [node.wide, BOX], fill, &more);
    let style = Style {
        mono: true,
        bold: root && !node.children.is_empty(),
        ..Style::LABEL.middle()
    };
    sheet.text([node.x, y + BOX / 2.0 + HALF_LINE], style, &node.label);
    for child in &node.children {
        draw_boxes(sheet, child, bottom, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(label: &str) -> Node {
        Node {
            label: label.into(),
            children: Vec::new(),
        }
    }

    fn join(children: Vec<Node>) -> Node {
        let label = children.iter().map(|child| child.label.as_str()).collect();
        Node { label, children }
    }

    fn check(node: &Placed, range: (f64, f64)) {
        let (left, right) = (node.x - node.wide / 2.0, node.x + node.wide / 2.0);
        assert!(
            left >= range.0 - 1e-9 && right <= range.1 + 1e-9,
            "{}",
            node.label
        );
        for pair in node.children.windows(2) {
            let gap = (pair[1].x - pair[1].wide / 2.0) - (pair[0].x + pair[0].wide / 2.0);
            assert!(gap > 0.0, "{} and {}", pair[0].label, pair[1].label);
        }
        for child in &node.children {
            assert!(child.height < node.height);
            check(child, range);
        }
    }

    #[test]
    fn boxes_do_not_meet() {
        let low = join(vec![leaf("l"), join(vec![leaf("o"), leaf("w")])]);
        let wide = Node {
            label: "wider than its child".into(),
            children: vec![leaf("a")],
        };
        for node in [
            low.clone(),
            wide.clone(),
            join(vec![low, wide, leaf(" est")]),
        ] {
            let (placed, right) = place(&node, 10.0);
            check(&placed, (10.0, right));
        }
    }

    #[test]
    fn one_node_and_a_slice_draw_the_same() {
        let node = join(vec![leaf(" t"), leaf("he\n")]);
        assert_eq!(tree("t", &node), tree("t", &[node.clone()][..]));
        assert_eq!(tree("t", &node), tree("t", &vec![node.clone()]));
        let svg = tree("t", &node).svg().to_owned();
        assert!(svg.contains(">␣t<") && svg.contains(">he\\n<"), "{svg}");
        assert_eq!(svg.matches("<path").count(), 2);
    }

    #[test]
    fn many_trees_go_on_in_a_new_row() {
        let forest: Vec<Node> = (0..60).map(|n| leaf(&format!("token{n}"))).collect();
        let svg = tree("t", &forest).svg().to_owned();
        let width = svg
            .split_once(" width=\"")
            .unwrap()
            .1
            .split('"')
            .next()
            .unwrap();
        assert!(width.parse::<f64>().unwrap() <= MOST_WIDTH, "{width}");
        assert_eq!(svg.matches("<text").count(), 60 + 1);
    }
}
