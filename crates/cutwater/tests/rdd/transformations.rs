use crate::{grid, numbers, sorted};

#[test]
fn map_filter_and_flat_map() {
    let data = numbers(200);
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        assert_eq!(rdd.num_partitions(), partitions);
        assert_eq!(rdd.collect().unwrap(), data);

        let mapped = rdd.map(|n| n.to_string());
        assert_eq!(mapped.collect().unwrap(), data.iter().map(i64::to_string).collect::<Vec<_>>());

        let even = rdd.filter(|n| n % 2 == 0);
        assert_eq!(even.collect().unwrap(), data.iter().copied().filter(|n| n % 2 == 0).collect::<Vec<_>>());

        let repeated = rdd.flat_map(|n| (0..n.rem_euclid(4)).map(move |i| n * 10 + i));
        let expected: Vec<_> =
            data.iter().flat_map(|n| (0..n.rem_euclid(4)).map(move |i| n * 10 + i)).collect();
        assert_eq!(repeated.collect().unwrap(), expected);

        let chain = rdd.map(|n| n + 1).filter(|n| n % 3 != 0).flat_map(|n| [n, -n]).map(|n| n * 2);
        let expected: Vec<_> =
            data.iter().map(|n| n + 1).filter(|n| n % 3 != 0).flat_map(|n| [n, -n]).map(|n| n * 2).collect();
        assert_eq!(chain.collect().unwrap(), expected);
        assert_eq!(chain.num_partitions(), partitions);
    });
}

#[test]
fn values_are_handed_over() {
    let data = numbers(50);
    let names = vec!["low".to_owned(), "high".to_owned()];
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        let named =
            rdd.with((names.clone(), 100)).map(|(names, limit), n| names[usize::from(n > *limit)].clone());
        let expected: Vec<_> = data.iter().map(|n| names[usize::from(*n > 100)].clone()).collect();
        assert_eq!(named.collect().unwrap(), expected);
        assert_eq!(rdd.with(100).filter(|limit, n| n > limit).count().unwrap() as usize, {
            data.iter().filter(|n| **n > 100).count()
        });
        let thrice = rdd.with(3).flat_map(|times, n| vec![n; *times]);
        assert_eq!(thrice.collect().unwrap(), data.iter().flat_map(|n| [*n; 3]).collect::<Vec<_>>());
        let sums = rdd.with(7).map_partitions(|add, part| [part.iter().sum::<i64>() + add]);
        assert_eq!(sums.reduce(|a, b| a + b).unwrap(), data.iter().sum::<i64>() + 7 * i64::from(partitions));
    });
}

#[test]
fn partitions_are_contiguous_slices() {
    let data = numbers(20);
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        let (n, p) = (data.len(), partitions as usize);
        let expected: Vec<_> = (0..p).map(|i| data[i * n / p..(i + 1) * n / p].to_vec()).collect();
        assert_eq!(rdd.collect_partitions().unwrap(), expected);

        let sums = rdd.map_partitions(|part| [part.iter().sum::<i64>(), part.len() as i64]);
        let expected: Vec<_> =
            expected.iter().flat_map(|p| [p.iter().sum::<i64>(), p.len() as i64]).collect();
        assert_eq!(sums.collect().unwrap(), expected);
    });
}

#[test]
fn a_union_is_one_after_the_other() {
    let (left, right) = (numbers(30), numbers(11));
    grid(|ctx, partitions| {
        let union =
            ctx.parallelize_into(partitions, left.clone()).union(&ctx.parallelize_into(2, right.clone()));
        assert_eq!(union.num_partitions(), partitions + 2);
        assert_eq!(union.collect().unwrap(), [left.clone(), right.clone()].concat());
        let self_union = union.union(&union);
        assert_eq!(self_union.count().unwrap() as usize, 2 * (left.len() + right.len()));
    });
}

#[test]
fn coalesce_never_grows_and_lays_neighbours_together() {
    let data = numbers(70);
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        let before = rdd.collect_partitions().unwrap();
        assert!(rdd.coalesce(0).collect().is_err(), "there is no room in no partitions");
        for wanted in [1, 2, 3, 5, 7, 100] {
            let few = rdd.coalesce(wanted);
            assert_eq!(few.num_partitions(), wanted.min(partitions));
            let after = few.collect_partitions().unwrap();
            assert_eq!(after.concat(), data);
            // Every partition is whole partitions of before, one after the other.
            let mut neighbours = before.iter();
            for part in after {
                let mut rest = part.as_slice();
                while !rest.is_empty() {
                    let next = neighbours.next().expect("all of them were there before");
                    rest = rest.strip_prefix(next.as_slice()).expect("a partition is not torn apart");
                }
            }
        }
    });
}

#[test]
fn repartition_spreads_evenly() {
    let data = numbers(70);
    let mut expected = data.clone();
    expected.sort_unstable();
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        for wanted in [0, 1, 2, 5, 9] {
            let spread = rdd.repartition(wanted);
            assert_eq!(spread.num_partitions(), wanted.max(1));
            assert_eq!(sorted(&spread), expected);
            let sizes: Vec<_> = spread.collect_partitions().unwrap().iter().map(Vec::len).collect();
            let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            assert!(most - least <= partitions as usize, "{sizes:?}");
        }
    });
}

#[test]
fn sort_by_is_stable_and_total() {
    let data: Vec<(i64, usize)> = numbers(300).into_iter().map(|n| n / 20).zip(0..).collect();
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        let mut expected = data.clone();
        expected.sort_by_key(|(n, _)| *n);
        assert_eq!(rdd.sort_by(|(n, _)| *n).unwrap().collect().unwrap(), expected);

        expected.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
        let mut downwards = data.clone();
        downwards.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
        assert_eq!(rdd.sort_by(|(n, _)| std::cmp::Reverse(*n)).unwrap().collect().unwrap(), downwards);

        for into in [0, 1, 4, 50] {
            let sorted = rdd.sort_by_into(into, |(n, _)| *n).unwrap();
            assert!(sorted.num_partitions() <= into.max(1));
            assert_eq!(sorted.map(|(n, _)| n).collect().unwrap(), {
                let mut keys: Vec<_> = data.iter().map(|(n, _)| *n).collect();
                keys.sort_unstable();
                keys
            });
        }
    });
}

#[test]
fn a_sort_of_equal_keys_ends_in_one_partition() {
    grid(|ctx, partitions| {
        let sorted = ctx.parallelize_into(partitions, 0..100).sort_by(|_| 7u8).unwrap();
        assert_eq!(sorted.collect().unwrap(), (0..100).collect::<Vec<_>>());
    });
}

#[test]
fn a_large_sort() {
    let data: Vec<u64> = (0..200_000u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20).collect();
    let mut expected = data.clone();
    expected.sort_unstable();
    for (threads, partitions) in [(1, 3), (4, 7)] {
        let ctx = cutwater::Context::local(threads);
        let sorted = ctx.parallelize_into(partitions, data.clone()).sort_by(|n| *n).unwrap();
        let parts = sorted.collect_partitions().unwrap();
        assert_eq!(parts.len(), partitions as usize);
        let even = data.len() / partitions as usize;
        for part in &parts {
            assert!(part.len() > even * 8 / 10 && part.len() < even * 12 / 10, "{} of {even}", part.len());
        }
        assert!(parts.concat() == expected, "not sorted");
    }
}

#[test]
fn zip_partitions_of_three_and_four() {
    let data = numbers(50);
    let of = |by: i64| data.iter().map(|n| n * by).collect::<Vec<_>>();
    grid(|ctx, partitions| {
        let [a, b, c, d] = [1, 2, 3, 4].map(|by| ctx.parallelize_into(partitions, of(by)));
        let three = a.zip_partitions3(&b, &c, |a, b, c| a.into_iter().chain(b).chain(c).collect::<Vec<_>>());
        let lists = [&a, &b, &c, &d].map(|rdd| rdd.collect_partitions().unwrap());
        let expected: Vec<Vec<i64>> = (0..partitions as usize)
            .map(|at| lists[..3].iter().flat_map(|list| list[at].clone()).collect())
            .collect();
        assert_eq!(three.collect_partitions().unwrap(), expected);
        let four = a.with(10).zip_partitions4(&b, &c, &d, |by, a, b, c, d| {
            [a.iter().sum::<i64>(), b.iter().sum(), c.iter().sum(), d.iter().sum::<i64>() * by]
        });
        let expected: Vec<Vec<i64>> = (0..partitions as usize)
            .map(|at| {
                let sum = |list: usize| lists[list][at].iter().sum::<i64>();
                vec![sum(0), sum(1), sum(2), sum(3) * 10]
            })
            .collect();
        assert_eq!(four.collect_partitions().unwrap(), expected);
        let more = ctx.parallelize_into(partitions + 1, of(1));
        let error = a.zip_partitions4(&b, &c, &more, |a, _, _, _| a).collect().unwrap_err().to_string();
        let why = format!("{partitions} partitions here and {} there", partitions + 1);
        assert!(error.contains("zip_partitions4") && error.contains(&why), "{error}");
        let error = a.zip_partitions3(&more, &c, |a, _, _| a).collect().unwrap_err().to_string();
        assert!(error.contains("zip_partitions3") && error.contains(&why), "{error}");
    });
}
