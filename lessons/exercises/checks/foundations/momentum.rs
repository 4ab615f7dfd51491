// Expected values: torch.optim.SGD(lr=0.02, momentum=0.9) in f64 on f = (x² + 64 y²) / 2.
fn checks(c: &mut Checks) {
    let walk = |steps: usize| {
        let (mut w, mut speed) = ([4.0, 0.5], [0.0, 0.0]);
        for _ in 0..steps {
            let slope = [w[0], 64.0 * w[1]];
            step(&mut w, &mut speed, &slope, (0.02, 0.9));
        }
        w
    };
    c.close("the first step is a plain one", || walk(1), &[3.92, -0.14], 1e-12);
    c.close("the second remembers", || walk(2), &[3.7696, -0.5368], 1e-12);
    c.teach("a new speed keeps β of the old one and adds the whole slope, not 1 - β of it");
    c.close("the third", || walk(3), &[3.558848, -0.206816], 1e-12);
    c.close(
        "β = 0 is a plain walker",
        || {
            let (mut w, mut speed) = ([1.0], [5.0]);
            step(&mut w, &mut speed, &[2.0], (0.5, 0.0));
            [w[0], speed[0]]
        },
        &[0.0, 2.0],
        1e-12,
    );
    c.close("β = 0.9 walks ten times as far", || boost(0.9), &[10.0], 1e-9);
}
