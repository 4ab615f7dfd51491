// Expected values: struct.unpack("<Q", bytes) in Python.
fn checks(c: &mut Checks) {
    c.equal("one byte", || length([200, 0, 0, 0, 0, 0, 0, 0]), 200);
    c.equal("two bytes", || length([1, 2, 0, 0, 0, 0, 0, 0]), 513);
    c.teach("513 = 1 + 2 · 256: the first byte counts least");
    c.equal("all of them", || length([1, 2, 3, 4, 5, 6, 7, 8]), 578_437_695_752_307_201);
    c.equal("a header that fits", || data_start([40, 0, 0, 0, 0, 0, 0, 0], 144), Some(48));
    c.equal("a header to the last byte", || data_start([40, 0, 0, 0, 0, 0, 0, 0], 48), Some(48));
    c.equal("one byte too long", || data_start([41, 0, 0, 0, 0, 0, 0, 0], 48), None);
    c.equal("a lie", || data_start([255; 8], 1 << 40), None);
    c.teach("8 + N leaves 64 bits: `checked_add` says so");
}
