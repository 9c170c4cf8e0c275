package harness

import "testing"

// BenchmarkCheck is `harness check`, warm, without the start of its process: everything, one overlay, and of that one the
// answers of the API server's code alone.
func BenchmarkCheck(b *testing.B) {
	check := func(overlays ...string) func(*testing.B) {
		return func(b *testing.B) {
			for b.Loop() {
				r, err := Load(b.Context(), Options{Root: repository, Overlays: overlays})
				if err != nil {
					b.Fatal(err)
				}
				Judge(r, Rules())
			}
		}
	}
	b.Run("all", check())
	b.Run("mainnet", check("mainnet"))
	b.Run("mainnet-api-server", func(b *testing.B) {
		r, err := Load(b.Context(), Options{Root: repository, Overlays: []string{"mainnet"}})
		if err != nil {
			b.Fatal(err)
		}
		server, err := startAPIServer(b.Context(), repository)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if err := server.judge(Decode(r.Overlays[0].Output[Helm4])); err != nil {
				b.Fatal(err)
			}
		}
	})
}
