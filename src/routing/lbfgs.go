package routing

import "math"

const (
	lbfgsSteps  = 60
	lbfgsMemory = 8
)

// minimise moves y to where f, which it is given with room for its gradient, is small, by L-BFGS with backtracking. It stops where
// steps are no longer of use, which for a function with kinks need not be the least.
func minimise(y []float64, f func(y, grad []float64) float64) {
	n := len(y)
	grad, next, nextGrad, dir := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	value := f(y, grad)
	type pair struct {
		s, y []float64
		rho  float64
	}
	var pairs []pair
	alphas := make([]float64, lbfgsMemory)
	for range lbfgsSteps {
		copy(dir, grad)
		for i := len(pairs) - 1; i >= 0; i-- {
			p := pairs[i]
			alphas[i] = p.rho * dot(p.s, dir)
			addScaled(dir, -alphas[i], p.y)
		}
		scale := 1e-4 / math.Sqrt(dot(grad, grad)+1e-300)
		if k := len(pairs) - 1; k >= 0 {
			scale = 1 / (pairs[k].rho * dot(pairs[k].y, pairs[k].y))
		}
		for j := range dir {
			dir[j] *= scale
		}
		for i, p := range pairs {
			addScaled(dir, alphas[i]-p.rho*dot(p.y, dir), p.s)
		}
		slope := dot(grad, dir)
		if !(slope > 0) {
			if len(pairs) == 0 {
				return
			}
			pairs = nil
			continue
		}
		step := 1.0
		var nextValue float64
		for {
			copy(next, y)
			addScaled(next, -step, dir)
			if nextValue = f(next, nextGrad); nextValue <= value-1e-4*step*slope {
				break
			}
			if step /= 4; step < 1e-8 {
				return
			}
		}
		p := pair{s: make([]float64, n), y: make([]float64, n)}
		for j := range y {
			p.s[j], p.y[j] = next[j]-y[j], nextGrad[j]-grad[j]
		}
		if c := dot(p.s, p.y); c > 0 {
			p.rho = 1 / c
			if pairs = append(pairs, p); len(pairs) > lbfgsMemory {
				pairs = pairs[1:]
			}
		}
		done := math.Abs(value-nextValue) < 1e-7*math.Abs(value)
		copy(y, next)
		copy(grad, nextGrad)
		if value = nextValue; done {
			return
		}
	}
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// addScaled adds factor times b to a.
func addScaled(a []float64, factor float64, b []float64) {
	for i := range a {
		a[i] += factor * b[i]
	}
}
