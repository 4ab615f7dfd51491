//! `math::arrays` against NumPy, against ndarray, and against its own slopes.

use llm_core::math::arrays::{
    ShapeError, add, broadcast_shape, combine, counting, distance, index_of, matmul,
    matmul_backward, place, product_shape, strides, sum_to, transposed, turned_product,
};
use llm_core::math::gradient::{compare, numeric};
use ndarray::{ArrayD, IxDyn, array};
use proptest::prelude::*;
use serde_json::Value;

/// Whole numbers: every order of summation gives the same bits.
const EXACT: f64 = 0.0;
/// Central differences of losses of a few hundred: their last digits divided by 2h = 2e-5. The
/// largest difference seen is 1.4e-8.
const SLOPE: f64 = 1e-7;

/// An array of the fixture written by `tools/oracle/arrays.py`.
fn array_of(value: &Value) -> ArrayD<f64> {
    let list = |key: &str| value[key].as_array().unwrap().iter();
    let shape: Vec<usize> = list("shape")
        .map(|n| n.as_u64().unwrap() as usize)
        .collect();
    let values = list("values").map(|x| x.as_f64().unwrap()).collect();
    ArrayD::from_shape_vec(IxDyn(&shape), values).unwrap()
}

fn flat(array: &ArrayD<f64>) -> Vec<f64> {
    array.iter().copied().collect()
}

/// A few small whole numbers that repeat with no period of the shape.
fn whole(shape: &[usize]) -> ArrayD<f64> {
    let count = shape.iter().product::<usize>();
    let values = (0..count).map(|n| (n * 7 % 11) as f64 - 5.0).collect();
    ArrayD::from_shape_vec(IxDyn(shape), values).unwrap()
}

fn near(what: &str, ours: &[f64], theirs: &[f64], tolerance: f64) {
    let difference = compare(ours, theirs);
    assert!(
        difference.largest <= tolerance,
        "{what}: |Δ| = {:e} at {} (tolerance {tolerance:e})",
        difference.largest,
        difference.at
    );
}

#[test]
fn sums_and_products_are_those_of_numpy() {
    let cases: Value = serde_json::from_str(include_str!("../fixtures/math/arrays.json")).unwrap();
    let (mut results, mut refused) = (0, 0);
    for case in cases.as_array().unwrap() {
        let (left, right) = (array_of(&case["left"]), array_of(&case["right"]));
        let ours = [
            ("add", add(&left, &right)),
            ("matmul", matmul(&left, &right)),
        ];
        for (operation, ours) in ours {
            let what = format!("{:?} {operation} {:?}", left.shape(), right.shape());
            match (&case[operation], ours) {
                (Value::Null, Err(error)) => {
                    names_both(&error, left.shape(), right.shape());
                    refused += 1;
                }
                (Value::Null, Ok(ours)) => panic!("{what} is {:?}, refused by NumPy", ours.shape()),
                (_, Err(error)) => panic!("{what}: {error}"),
                (theirs, Ok(ours)) => {
                    let theirs = array_of(theirs);
                    assert_eq!(ours.shape(), theirs.shape(), "{what}");
                    near(&what, &flat(&ours), &flat(&theirs), EXACT);
                    results += 1;
                }
            }
        }
    }
    assert!(
        results >= 60 && refused >= 20,
        "{results} results, {refused} refused"
    );
}

fn names_both(error: &ShapeError, left: &[usize], right: &[usize]) {
    let text = error.to_string();
    let named = text.contains(&format!("{left:?}")) && text.contains(&format!("{right:?}"));
    assert!(named, "{text} names not both of {left:?} and {right:?}");
}

#[test]
fn the_shapes_of_the_lesson() {
    let rows = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]].into_dyn();
    let sum = add(&rows, &array![10.0, 20.0, 30.0].into_dyn()).unwrap();
    assert_eq!(
        sum,
        array![[11.0, 22.0, 33.0], [14.0, 25.0, 36.0]].into_dyn()
    );
    let batch = matmul(&whole(&[32, 10, 4]), &whole(&[4, 8])).unwrap();
    assert_eq!(batch.shape(), [32, 10, 8]);
    // Each of the 32 is what ndarray makes of it alone.
    let right = whole(&[4, 8])
        .into_dimensionality::<ndarray::Ix2>()
        .unwrap();
    let left = whole(&[32, 10, 4])
        .into_dimensionality::<ndarray::Ix3>()
        .unwrap();
    for (ours, left) in batch.outer_iter().zip(left.outer_iter()) {
        assert_eq!(ours, left.dot(&right).into_dyn());
    }
}

#[test]
fn shapes_that_do_not_fit_are_named_with_what_would() {
    let messages = [
        (
            product_shape(&[2, 3], &[2, 3]),
            "cannot multiply [2, 3] by [2, 3]: a row of the left has 3 numbers, a column of the \
             right 2, expected equal",
        ),
        (
            broadcast_shape(&[2, 3], &[2]),
            "shapes [2, 3] and [2] do not broadcast: axis -1 has 3 and 2, expected equal sizes or \
             a 1",
        ),
        (
            product_shape(&[5, 2, 3], &[4, 3, 7]),
            "cannot multiply [5, 2, 3] by [4, 3, 7]: axis -3, before the matrices, has 5 and 4, \
             expected equal sizes or a 1",
        ),
        (
            product_shape(&[], &[3]),
            "cannot multiply [] by [3]: both need at least one axis",
        ),
        (
            sum_to(&whole(&[2, 3]), &[2]).map(|array| array.shape().to_vec()),
            "[2, 3] cannot be summed to [2]: that shape does not broadcast to it",
        ),
        (
            sum_to(&whole(&[3]), &[2, 3]).map(|array| array.shape().to_vec()),
            "[3] cannot be summed to [2, 3]: that shape does not broadcast to it",
        ),
    ];
    for (result, message) in messages {
        assert_eq!(result.unwrap_err().to_string(), message);
    }
}

#[test]
fn broadcasting_backward_adds_up_what_was_read_again() {
    let (rows, row) = (whole(&[2, 3]), whole(&[3]));
    let d_out = whole(&[2, 3]);
    // loss = Σ d_out · rows · row, as a function of the row alone
    let loss = |row: &[f64]| {
        let row = ArrayD::from_shape_vec(IxDyn(&[3]), row.to_vec()).unwrap();
        let product = combine(&rows, &row, |x, y| x * y).unwrap();
        product.iter().zip(&d_out).map(|(y, d)| y * d).sum()
    };
    let each = combine(&rows, &d_out, |x, d| x * d).unwrap();
    let ours = sum_to(&each, row.shape()).unwrap();
    near(
        "d row",
        &flat(&ours),
        &numeric(&flat(&row), 1e-5, loss),
        SLOPE,
    );
}

#[test]
fn gradients_of_products_are_their_slopes() {
    let shapes: [(&[usize], &[usize]); 6] = [
        (&[2, 3], &[3, 4]),
        (&[5, 2, 3], &[3, 4]),
        (&[2, 1, 2, 3], &[3, 3, 2]),
        (&[3], &[3, 2]),
        (&[2, 3], &[3]),
        (&[3], &[3]),
    ];
    for (left, right) in shapes {
        let what = format!("{left:?} by {right:?}");
        let (left, right) = (whole(left), whole(right));
        let product = matmul(&left, &right).unwrap();
        let turned = turned_product(&left, &right).unwrap();
        assert_eq!(
            distance(&product, &turned),
            0.0,
            "{what}, the other way round"
        );
        let d_out = whole(product.shape());
        let loss = |left: &ArrayD<f64>, right: &ArrayD<f64>| {
            let product = matmul(left, right).unwrap();
            product.iter().zip(&d_out).map(|(y, d)| y * d).sum::<f64>()
        };
        let [d_left, d_right] = matmul_backward(&left, &right, &d_out).unwrap();
        let other = matmul_backward(&left, &right, &whole(&[7, 7, 7, 7, 7]));
        assert!(
            matches!(other, Err(ShapeError::Sum { .. })),
            "{what}: {other:?}"
        );
        assert_eq!(
            (d_left.shape(), d_right.shape()),
            (left.shape(), right.shape())
        );
        let with = |array: &ArrayD<f64>, values: &[f64]| {
            ArrayD::from_shape_vec(array.raw_dim(), values.to_vec()).unwrap()
        };
        let slopes = numeric(&flat(&left), 1e-5, |x| loss(&with(&left, x), &right));
        near(&format!("{what}, left"), &flat(&d_left), &slopes, SLOPE);
        let slopes = numeric(&flat(&right), 1e-5, |x| loss(&left, &with(&right, x)));
        near(&format!("{what}, right"), &flat(&d_right), &slopes, SLOPE);
    }
}

#[test]
fn a_transposed_array_is_read_by_its_indices_and_not_by_its_memory() {
    let array = whole(&[2, 3]);
    let turned = transposed(&array);
    assert_eq!(
        turned.strides(),
        [1, 3],
        "the strides are swapped and no number moves"
    );
    let product = matmul(&turned, &array).unwrap();
    for ((row, column), value) in product
        .view()
        .into_dimensionality::<ndarray::Ix2>()
        .unwrap()
        .indexed_iter()
    {
        let sum: f64 = (0..2).map(|k| array[[k, row]] * array[[k, column]]).sum();
        assert_eq!(*value, sum);
    }
    assert_eq!(transposed(&whole(&[3])), whole(&[3]));
}

#[test]
fn arrays_that_count_stay_small_and_distances_need_equal_shapes() {
    let counted = counting(&[2, 3], 10.0, 6).unwrap();
    assert_eq!(
        counted,
        array![[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]].into_dyn()
    );
    let message = "an array of shape [7] is too large here, expected at most 6 numbers";
    assert_eq!(counting(&[7], 1.0, 6).unwrap_err().to_string(), message);
    assert!(
        counting(&[usize::MAX, 2], 1.0, 6).is_err(),
        "the count overflows"
    );
    assert_eq!(distance(&counted, &(&counted + 0.5)), 0.5);
    assert_eq!(distance(&counted, &whole(&[3, 2])), f64::INFINITY);
}

fn shape() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1_usize..4, 0..4)
}

proptest! {
    #[test]
    fn strides_are_those_of_ndarray_and_places_turn_back_into_indices(shape in shape()) {
        let array = ArrayD::<f64>::zeros(IxDyn(&shape));
        let theirs: Vec<usize> = array.strides().iter().map(|&step| step as usize).collect();
        // ndarray gives an axis of size 1 any stride: nobody ever steps along it.
        let ours = strides(&shape);
        for axis in (0..shape.len()).filter(|&axis| shape[axis] > 1) {
            prop_assert_eq!(ours[axis], theirs[axis]);
        }
        for step in 0..shape.iter().product() {
            prop_assert_eq!(place(&index_of(step, &shape), &ours), step);
        }
    }

    #[test]
    fn shapes_broadcast_as_in_ndarray(left in shape(), right in shape()) {
        let (l, r) = (whole(&left), whole(&right));
        let ours = broadcast_shape(&left, &right);
        prop_assert_eq!(&ours, &broadcast_shape(&right, &left).map_err(|error| match error {
            ShapeError::Broadcast { left, right, axis } =>
                ShapeError::Broadcast { left: right, right: left, axis },
            other => other,
        }));
        if let Ok(shape) = ours {
            let (l, r) = (l.broadcast(IxDyn(&shape)).unwrap(), r.broadcast(IxDyn(&shape)).unwrap());
            prop_assert_eq!(add(&whole(&left), &whole(&right)).unwrap(), &l + &r);
        } else {
            // No shape at all holds both.
            prop_assert!(l.broadcast(IxDyn(&right)).is_none());
        }
    }
}
