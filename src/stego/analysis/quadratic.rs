//! All estimators end in a quadratic equation.

/// The solutions of `a x² + b x + c = 0`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Roots {
    /// The lower first; twice the same where there is but one.
    Real(f64, f64),
    /// Noise can do this. The real part, which is where the parabola comes nearest to 0,
    /// and the modulus.
    Complex { real: f64, modulus: f64 },
}

/// Solves it; 0 where no coefficient says anything else, as in a picture without texture.
pub(super) fn roots(a: f64, b: f64, c: f64) -> Roots {
    if a == 0.0 {
        let only = if b == 0.0 { 0.0 } else { -c / b };
        return Roots::Real(only, only);
    }
    let half = -b / (2.0 * a);
    let discriminant = half * half - c / a;
    if discriminant < 0.0 {
        return Roots::Complex { real: half, modulus: (c / a).sqrt() };
    }
    let root = discriminant.sqrt();
    Roots::Real(half - root, half + root)
}

/// The lower solution, or the real part of both.
pub(super) fn lower_root(a: f64, b: f64, c: f64) -> f64 {
    match roots(a, b, c) {
        Roots::Real(lower, _) => lower,
        Roots::Complex { real, .. } => real,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roots_solve_the_equation() {
        // (x - 1)(x + 2), and the same upside down.
        assert_eq!(roots(1.0, 1.0, -2.0), Roots::Real(-2.0, 1.0));
        assert_eq!(roots(-2.0, -2.0, 4.0), Roots::Real(-2.0, 1.0));
        assert_eq!(lower_root(1.0, 1.0, -2.0), -2.0);
        // (x - 3 - 4i)(x - 3 + 4i)
        assert_eq!(roots(1.0, -6.0, 25.0), Roots::Complex { real: 3.0, modulus: 5.0 });
        assert_eq!(lower_root(1.0, -6.0, 25.0), 3.0);
    }

    #[test]
    fn equations_of_less_than_second_degree_have_an_answer() {
        assert_eq!(lower_root(0.0, 2.0, -1.0), 0.5);
        assert_eq!(lower_root(0.0, 0.0, 1.0), 0.0);
        assert_eq!(lower_root(0.0, 0.0, 0.0), 0.0);
    }
}
