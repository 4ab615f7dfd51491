//! Small functions in Python and Rust.
//!
//! `{f}` is the function's name, `{a}` and `{b}` are its parameters, `{n}` is a number.

/// A function in both languages.
pub(super) struct Function {
    /// What it does, behind "it".
    pub(super) what: &'static str,
    pub(super) names: [&'static str; 3],
    pub(super) python: &'static str,
    pub(super) rust: &'static str,
}

const fn function(
    what: &'static str,
    names: [&'static str; 3],
    python: &'static str,
    rust: &'static str,
) -> Function {
    Function {
        what,
        names,
        python,
        rust,
    }
}

#[rustfmt::skip]
pub(super) const FUNCTIONS: [Function; 20] = [
    function("adds {a} and {b}", ["add", "plus", "total"],
        "def {f}({a}, {b}):\n    return {a} + {b}",
        "fn {f}({a}: i32, {b}: i32) -> i32 {\n    {a} + {b}\n}"),
    function("subtracts {b} from {a}", ["subtract", "minus", "difference"],
        "def {f}({a}, {b}):\n    return {a} - {b}",
        "fn {f}({a}: i32, {b}: i32) -> i32 {\n    {a} - {b}\n}"),
    function("multiplies {a} by {b}", ["multiply", "times", "product"],
        "def {f}({a}, {b}):\n    return {a} * {b}",
        "fn {f}({a}: i32, {b}: i32) -> i32 {\n    {a} * {b}\n}"),
    function("returns the larger of {a} and {b}", ["larger", "maximum", "greater"],
        "def {f}({a}, {b}):\n    return max({a}, {b})",
        "fn {f}({a}: i32, {b}: i32) -> i32 {\n    {a}.max({b})\n}"),
    function("returns the smaller of {a} and {b}", ["smaller", "minimum", "less"],
        "def {f}({a}, {b}):\n    return min({a}, {b})",
        "fn {f}({a}: i32, {b}: i32) -> i32 {\n    {a}.min({b})\n}"),
    function("returns the square of {a}", ["square", "squared", "area"],
        "def {f}({a}):\n    return {a} * {a}",
        "fn {f}({a}: i32) -> i32 {\n    {a} * {a}\n}"),
    function("adds {n} to {a}", ["increase", "step", "raise_by"],
        "def {f}({a}):\n    return {a} + {n}",
        "fn {f}({a}: i32) -> i32 {\n    {a} + {n}\n}"),
    function("multiplies {a} by {n}", ["scale", "grow", "stretch"],
        "def {f}({a}):\n    return {a} * {n}",
        "fn {f}({a}: i32) -> i32 {\n    {a} * {n}\n}"),
    function("tells whether {a} is even", ["is_even", "even", "check_even"],
        "def {f}({a}):\n    return {a} % 2 == 0",
        "fn {f}({a}: i32) -> bool {\n    {a} % 2 == 0\n}"),
    function("tells whether {a} is larger than {n}", ["is_large", "is_big", "above"],
        "def {f}({a}):\n    return {a} > {n}",
        "fn {f}({a}: i32) -> bool {\n    {a} > {n}\n}"),
    function("returns the length of the list {a}", ["length", "size", "count"],
        "def {f}({a}):\n    return len({a})",
        "fn {f}({a}: &[i32]) -> usize {\n    {a}.len()\n}"),
    function("returns the sum of the list {a}", ["sum_all", "add_all", "sum_list"],
        "def {f}({a}):\n    return sum({a})",
        "fn {f}({a}: &[i32]) -> i32 {\n    {a}.iter().sum()\n}"),
    function("returns the first item of the list {a}", ["first_item", "head", "first_of"],
        "def {f}({a}):\n    return {a}[0]",
        "fn {f}({a}: &[i32]) -> i32 {\n    {a}[0]\n}"),
    function("returns the last item of the list {a}", ["last_item", "tail", "last_of"],
        "def {f}({a}):\n    return {a}[-1]",
        "fn {f}({a}: &[i32]) -> i32 {\n    {a}[{a}.len() - 1]\n}"),
    function("reverses the list {a}", ["reverse", "backwards", "turn_around"],
        "def {f}({a}):\n    return {a}[::-1]",
        "fn {f}({a}: &[i32]) -> Vec<i32> {\n    {a}.iter().rev().copied().collect()\n}"),
    function("sorts the list {a}", ["sort_list", "ordered", "in_order"],
        "def {f}({a}):\n    return sorted({a})",
        "fn {f}({a}: &mut [i32]) {\n    {a}.sort();\n}"),
    function("doubles every item of the list {a}", ["double_all", "twice", "doubled"],
        "def {f}({a}):\n    return [2 * item for item in {a}]",
        "fn {f}({a}: &[i32]) -> Vec<i32> {\n    {a}.iter().map(|item| 2 * item).collect()\n}"),
    function("says hello to {a}", ["greet", "hello", "welcome"],
        "def {f}({a}):\n    return \"Hello, \" + {a}",
        "fn {f}({a}: &str) -> String {\n    format!(\"Hello, {}\", {a})\n}"),
    function("writes {a} in capital letters", ["shout", "upper", "capitals"],
        "def {f}({a}):\n    return {a}.upper()",
        "fn {f}({a}: &str) -> String {\n    {a}.to_uppercase()\n}"),
    function("repeats the word {a} {n} times", ["repeat", "echo", "again"],
        "def {f}({a}):\n    return {a} * {n}",
        "fn {f}({a}: &str) -> String {\n    {a}.repeat({n})\n}"),
];

/// Names of parameters, in pairs.
pub(super) const PARAMETERS: [(&str, &str); 5] = [
    ("a", "b"),
    ("x", "y"),
    ("left", "right"),
    ("first", "second"),
    ("p", "q"),
];
