// Expected values: the formula in Python; 1,000 warm-up steps of 10,000, 5e-4 to 5e-5.
fn checks(c: &mut Checks) {
    let schedule = Schedule { rates: [5e-4, 5e-5], steps: [1_000, 10_000] };
    let at = |step: u64| rate(&schedule, step);
    c.close("the first step", || at(0), &[5e-7], 1e-15);
    c.teach("a rate of 0 wastes a step: count the step that is being made");
    c.close("the last step of the warm-up", || at(999), &[5e-4], 1e-15);
    c.close("a quarter down", || at(3_250), &[4.340_990_257_669_732e-4], 1e-12);
    c.close("half-way", || at(5_500), &[2.75e-4], 1e-12);
    c.close("three quarters", || at(7_750), &[1.159_009_742_330_268e-4], 1e-12);
    c.close("the end", || at(10_000), &[5e-5], 1e-15);
    c.close("past the end", || at(19_000), &[5e-5], 1e-15);
    c.teach("cos(2 π) is 1 again: without a stop the rate climbs back to its top");
}
