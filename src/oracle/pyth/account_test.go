package pyth

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gagliardetto/solana-go"
	"sigs.k8s.io/yaml"
)

func TestPullAccountOfTheRecordedLayout(t *testing.T) {
	dir := os.Getenv("FIXTURES_DIR")
	if dir == "" {
		dir = "../../../../shared/fixtures"
	}
	text, err := os.ReadFile(filepath.Join(dir, "jupiter/price-feeds/priceupdatev2-btc-full-constructed.json"))
	if err != nil {
		if os.Getenv("REQUIRE_FIXTURES") == "1" {
			t.Fatal(err)
		}
		t.Skipf("recorded data not found (set FIXTURES_DIR): %v", err)
	}
	var f struct {
		Data   []byte
		Expect struct {
			FeedID      string `json:"feed_id"`
			Price, Conf string
			Exponent    int32
			PublishTime int64       `json:"publish_time"`
			PostedSlot  json.Number `json:"posted_slot"`
		}
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	p, err := Decode(f.Data)
	if err != nil {
		t.Fatal(err)
	}
	e := f.Expect
	if hex.EncodeToString(p.FeedID[:]) != e.FeedID || fmt.Sprint(p.Mantissa) != e.Price || fmt.Sprint(p.Conf) != e.Conf || p.Exponent != e.Exponent ||
		p.PublishTime.Unix() != e.PublishTime || fmt.Sprint(p.Slot) != e.PostedSlot.String() {
		t.Errorf("%+v, want %+v", p, e)
	}
	if p.Decimal() != "61409.93501" || p.ConfDecimal() != "32.87868567" {
		t.Errorf("%s ± %s", p.Decimal(), p.ConfDecimal())
	}
	partial := append([]byte{}, f.Data...)
	partial[40] = 0
	if _, err := Decode(partial); !errors.Is(err, ErrUnverified) {
		t.Errorf("partially verified: %v", err)
	}
}

// pull and push build accounts by the documented offsets.
func pull(price int64, conf uint64, expo int32, at time.Time) []byte {
	data := make([]byte, 134)
	copy(data, pullDiscriminator)
	data[40] = 1
	le := binary.LittleEndian
	le.PutUint64(data[73:], uint64(price))
	le.PutUint64(data[81:], conf)
	le.PutUint32(data[89:], uint32(expo))
	le.PutUint64(data[93:], uint64(at.Unix()))
	le.PutUint64(data[125:], 77)
	return data
}

func push(price int64, conf uint64, expo int32, at time.Time, status uint32) []byte {
	data := make([]byte, 3312)
	le := binary.LittleEndian
	le.PutUint32(data, 0xa1b2c3d4)
	le.PutUint32(data[4:], 2)
	le.PutUint32(data[8:], 3)
	le.PutUint32(data[20:], uint32(expo))
	le.PutUint64(data[96:], uint64(at.Unix()))
	le.PutUint64(data[208:], uint64(price))
	le.PutUint64(data[216:], conf)
	le.PutUint32(data[224:], status)
	le.PutUint64(data[232:], 77)
	return data
}

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestBothLayouts(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"pull":                      {pull(7506634976, 3000000, -8, at), nil},
		"push, trading":             {push(7506634976, 3000000, -8, at, 1), nil},
		"push, status unknown":      {push(7506634976, 3000000, -8, at, 0), ErrNotTrading},
		"push, halted":              {push(7506634976, 3000000, -8, at, 2), ErrNotTrading},
		"push, in auction":          {push(7506634976, 3000000, -8, at, 3), ErrNotTrading},
		"a price of zero":           {pull(0, 1, -8, at), ErrImplausible},
		"a negative price":          {push(-5, 1, -8, at, 1), ErrImplausible},
		"an exponent of a liar":     {pull(1, 1, 1<<30, at), ErrImplausible},
		"pull, cut short":           {pull(1, 1, 0, at)[:133], ErrNotAPrice},
		"push, cut short":           {push(1, 1, 0, at, 1)[:239], ErrNotAPrice},
		"another account":           {make([]byte, 165), ErrNotAPrice},
		"nothing":                   {nil, ErrNotAPrice},
		"a level that is not known": {func() []byte { d := pull(1, 1, 0, at); d[40] = 7; return d }(), ErrNotAPrice},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Decode(c.data)
			if !errors.Is(err, c.want) {
				t.Fatalf("error %v", err)
			}
			if err == nil && (p.Decimal() != "75.06634976" || p.ConfDecimal() != "0.03" || !p.PublishTime.Equal(at) || p.Slot != 77) {
				t.Errorf("%+v: %s ± %s", p, p.Decimal(), p.ConfDecimal())
			}
		})
	}
}

func TestDecimals(t *testing.T) {
	for want, c := range map[string]Price{
		"0.00000512": {Mantissa: 512, Exponent: -8}, "1": {Mantissa: 100000000, Exponent: -8}, "12.5": {Mantissa: 125, Exponent: -1},
		"3000": {Mantissa: 3, Exponent: 3}, "0.1": {Mantissa: 1, Exponent: -1}, "9223372036854775807": {Mantissa: 1<<63 - 1},
	} {
		if got := c.Decimal(); got != want {
			t.Errorf("%+v: %s, want %s", c, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(pull(7506634976, 3000000, -8, at))
	f.Add(push(7506634976, 3000000, -8, at, 1))
	seed, _ := base64.StdEncoding.DecodeString("IvEjY51+9M0B")
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Decode(data)
		if err != nil {
			return
		}
		// The decimal is exact: as a fraction it is the mantissa times the power of ten.
		got, ok := new(big.Rat).SetString(p.Decimal())
		want := new(big.Rat).SetInt64(p.Mantissa)
		power := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(p.Exponent, -p.Exponent))), nil))
		if p.Exponent < 0 {
			power.Inv(power)
		}
		if !ok || got.Cmp(want.Mul(want, power)) != 0 {
			t.Errorf("%+v: %s", p, p.Decimal())
		}
	})
}

// A feed's account follows from its id: shard 0 under the newer of Pyth's two push oracles.
func TestMainnetReadsTheAccountsOfItsFeeds(t *testing.T) {
	push := solana.MustPublicKeyFromBase58("pyt2F414BA6dPttK6RddPZUdHfapoBN24GL5wbrPCou")
	text, err := os.ReadFile("../../../environments/mainnet/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values struct {
		PriceOracle struct{ PythFeeds map[string]string }
	}
	if err := yaml.Unmarshal(text, &values); err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{ // of Pyth's feeds in US dollars
		"SOL":  "ef0d8b6fda2ceba41da15d4095d1da392a0d2f8ed0c6c7bc0f4cfac8c280b56d",
		"USDC": "eaa020c61cc479712813461ce153894a96a6c00b21ed0cfc2798d1f9a9e9c94a",
		"USDT": "2b89b9dc8fdf9f34709a5b106b472f0f39bb6ca9ce04b0fd7f2e971688e2e53b",
		"JUP":  "0a0408d619e9380abad35060f9192039ed5042fa6f82301d0e48bb52be830996",
	}
	if len(values.PriceOracle.PythFeeds) == 0 {
		t.Fatal("mainnet has no feeds")
	}
	for token, account := range values.PriceOracle.PythFeeds {
		id, err := hex.DecodeString(ids[token])
		if err != nil || len(id) != 32 {
			t.Errorf("the feed of %s is not known here", token)
			continue
		}
		want, _, err := solana.FindProgramAddress([][]byte{{0, 0}, id}, push)
		if err != nil || account != want.String() {
			t.Errorf("%s: %s, want %s (%v)", token, account, want, err)
		}
	}
}
