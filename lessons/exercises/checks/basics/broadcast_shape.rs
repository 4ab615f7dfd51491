// Expected values: numpy.broadcast_shapes.
fn checks(c: &mut Checks) {
    let shape =
        |left: &'static [usize], right: &'static [usize]| move || broadcast_shape(left, right);
    c.equal("[2, 3] and [3]", shape(&[2, 3], &[3]), Some(vec![2, 3]));
    c.teach("start at the right: the 3 of the short shape meets the 3 of the long one");
    c.equal("[2, 3] and [2]", shape(&[2, 3], &[2]), None);
    c.teach("the 2 stands under the 3, not under the 2: shapes meet at their right ends");
    c.equal("[5, 1, 3] and [4, 1]", shape(&[5, 1, 3], &[4, 1]), Some(vec![5, 4, 3]));
    c.equal("[3] and [2, 3]", shape(&[3], &[2, 3]), Some(vec![2, 3]));
    c.equal("a number and [2, 3]", shape(&[], &[2, 3]), Some(vec![2, 3]));
    c.equal("[0, 3] and [1, 3]", shape(&[0, 3], &[1, 3]), Some(vec![0, 3]));
    c.teach("the larger of 0 and 1 would be 1; a 1 is repeated as often as the other side says");
    c.equal("[2, 3] and [2, 4]", shape(&[2, 3], &[2, 4]), None);
}
