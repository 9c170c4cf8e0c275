package market

import (
	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/simulator/svm"
)

// Token is a token of the market.
type Token struct {
	Symbol, Name string
	Mint         solana.PublicKey
	// Program is SPL Token or Token-2022.
	Program  solana.PublicKey
	Decimals uint8
	// Intermediate tokens are liquid enough for Jupiter to route through.
	Intermediate bool
	Tags         []string

	spec  tokenSpec
	index int // in Market.tokens
}

// picoUSD is a price: 10^-12 US dollars for one whole token.
type picoUSD = uint64

const picoPerUSD = 1_000_000_000_000

type tokenSpec struct {
	symbol, name, mint         string
	decimals                   uint8
	authority, freezeAuthority string
	fee                        *svm.TransferFee
	// price in pico-dollars at the start; a staked token has a ratio to SOL, in millionths, instead.
	price    picoUSD
	solRatio uint64
	// volatility is the greatest change per slot, in millionths of the price.
	volatility   uint64
	peg          bool
	intermediate bool
	tags         []string
}

// tokenSpecs are mainnet's addresses, decimals and authorities as far as they are known here; prices are those of a made-up day.
var tokenSpecs = []tokenSpec{
	{symbol: "SOL", name: "Wrapped SOL", mint: "So11111111111111111111111111111111111111112", decimals: 9,
		price: 148_200_000_000_000, volatility: 90, intermediate: true, tags: []string{"verified", "strict"}},
	{symbol: "USDC", name: "USD Coin", mint: "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", decimals: 6,
		authority: "BJE5MMbqXjVwjAF7oxwPYXnTXDyspzZyt4vwenNw5ruG", freezeAuthority: "7dGbd2QZcCKcTndnHcTL8q7SMVXAkp688NTQYwrRCrar",
		price: 999_900_000_000, volatility: 2, peg: true, intermediate: true, tags: []string{"verified", "strict"}},
	{symbol: "USDT", name: "USDT", mint: "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB", decimals: 6,
		authority: "Q6XprfkF8RQQKoQVG33xT88H7wi8Uk1B1CC7YAs69Gi", freezeAuthority: "Q6XprfkF8RQQKoQVG33xT88H7wi8Uk1B1CC7YAs69Gi",
		price: 1_000_200_000_000, volatility: 2, peg: true, intermediate: true, tags: []string{"verified", "strict"}},
	{symbol: "mSOL", name: "Marinade staked SOL", mint: "mSoLzYCxHdYgdzU16g5QSh3i5K3z3KZK7ytfqcJm7So", decimals: 9,
		authority: "3JLPCS1qM2zRw3Dp6V4hZnYHd4toMNPkNesXdX9tg6KM", solRatio: 1_352_000, volatility: 3, intermediate: true, tags: []string{"verified", "lst"}},
	{symbol: "JitoSOL", name: "Jito Staked SOL", mint: "J1toso1uCk3RLmjorhTtrVwY9HJ7X8V9yYac6Y7kGCPn", decimals: 9,
		authority: "6iQKfEyhr3bZMotVkW6beNZz5CPAkiwvgV2CTje9pVSS", solRatio: 1_251_000, volatility: 3, intermediate: true, tags: []string{"verified", "lst"}},
	{symbol: "JUP", name: "Jupiter", mint: "JUPyiwrYJFskUPiHa7hkeR8VUtAeFoSYbKedZNsDvCN", decimals: 6,
		price: 412_000_000_000, volatility: 140, tags: []string{"verified", "strict"}},
	{symbol: "BONK", name: "Bonk", mint: "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263", decimals: 5,
		price: 17_400_000, volatility: 200, tags: []string{"verified", "strict"}},
	{symbol: "WIF", name: "dogwifhat", mint: "EKpQGSJtjMFqKZ9KQanSqYXRcF8fBopzLHYxdM65zcjm", decimals: 6,
		price: 731_000_000_000, volatility: 200, tags: []string{"verified"}},
	{symbol: "RAY", name: "Raydium", mint: "4k3Dyjzvzp8eMZWUXbBCjEvwSkkk59S5iCNLY3QrkX6R", decimals: 6,
		price: 2_310_000_000_000, volatility: 140, tags: []string{"verified", "strict"}},
	{symbol: "JTO", name: "JITO", mint: "jtojtomepa8beP8AuQc6eXt5FriJwfFMwQx2v2f9mCL", decimals: 9,
		price: 1_870_000_000_000, volatility: 140, tags: []string{"verified", "strict"}},
	{symbol: "PYTH", name: "Pyth Network", mint: "HZ1JovNiVvGrGNiiYvEozEVgZ58xaU3RKwX8eACQBCt3", decimals: 6,
		price: 158_000_000_000, volatility: 140, tags: []string{"verified", "strict"}},
	{symbol: "WBTC", name: "Wrapped BTC (Portal)", mint: "3NZ9JMVBmGAqocybic2c7LQCJScmgsAZ6vQqTDzcqmJh", decimals: 8,
		authority: "BCD75RNBHrJJpW4dXVagL5mPjzRLnVZq4YirJdjEYMV7", price: 98_350_000_000_000_000, volatility: 60, tags: []string{"verified"}},
	{symbol: "WETH", name: "Wrapped Ether (Portal)", mint: "7vfCXTUXx5WJV5JADk17DUJ4ksgau7utNKj4b963voxs", decimals: 8,
		authority: "BCD75RNBHrJJpW4dXVagL5mPjzRLnVZq4YirJdjEYMV7", price: 3_412_000_000_000_000, volatility: 70, tags: []string{"verified"}},
	{symbol: "BERN", name: "BonkEarn", mint: "CKfatsPMUf8SkiURsDXs7eK6GWb4Jsd6UDbs7twMCWxo", decimals: 5,
		fee: &svm.TransferFee{Bps: 690, MaximumUnits: 1<<64 - 1}, price: 1_130_000_000, volatility: 200, tags: []string{"token-2022"}},
}

// feeTier is one AmmConfig. Index 0 is mainnet's standard one, number for number; the others are like it but for the trade fee.
type feeTier struct {
	index uint16
	// rates are per million: of the input, and shares of the trade fee.
	tradeRate, protocolRate, fundRate uint64
}

var feeTiers = []feeTier{
	{index: 0, tradeRate: 2_500, protocolRate: 120_000, fundRate: 40_000},
	{index: 1, tradeRate: 10_000, protocolRate: 120_000, fundRate: 40_000},
	{index: 2, tradeRate: 500, protocolRate: 120_000, fundRate: 40_000},
	{index: 3, tradeRate: 100, protocolRate: 120_000, fundRate: 40_000},
	{index: 4, tradeRate: 3_000, protocolRate: 120_000, fundRate: 40_000},
}

type poolSpec struct {
	tier     uint16
	tokens   [2]string
	worthUSD uint64 // both sides together
}

var poolSpecs = []poolSpec{
	{0, [2]string{"SOL", "USDC"}, 9_400_000},
	{2, [2]string{"SOL", "USDC"}, 3_100_000},
	{0, [2]string{"SOL", "USDT"}, 2_600_000},
	{2, [2]string{"SOL", "USDT"}, 700_000},
	{3, [2]string{"USDC", "USDT"}, 6_200_000},
	{2, [2]string{"mSOL", "SOL"}, 4_800_000},
	{0, [2]string{"mSOL", "USDC"}, 900_000},
	{3, [2]string{"JitoSOL", "SOL"}, 8_300_000},
	{0, [2]string{"JitoSOL", "USDC"}, 1_100_000},
	{2, [2]string{"mSOL", "JitoSOL"}, 600_000},
	{0, [2]string{"JUP", "USDC"}, 2_200_000},
	{0, [2]string{"JUP", "SOL"}, 1_700_000},
	{4, [2]string{"BONK", "SOL"}, 1_900_000},
	{0, [2]string{"BONK", "USDC"}, 600_000},
	{0, [2]string{"WIF", "SOL"}, 1_200_000},
	{4, [2]string{"WIF", "USDC"}, 300_000},
	{0, [2]string{"RAY", "SOL"}, 2_900_000},
	{0, [2]string{"RAY", "USDC"}, 1_500_000},
	{4, [2]string{"RAY", "USDT"}, 200_000},
	{0, [2]string{"JTO", "SOL"}, 800_000},
	{0, [2]string{"JTO", "USDC"}, 500_000},
	{0, [2]string{"PYTH", "SOL"}, 400_000},
	{4, [2]string{"PYTH", "USDC"}, 700_000},
	{2, [2]string{"WBTC", "USDC"}, 3_600_000},
	{0, [2]string{"WBTC", "SOL"}, 1_300_000},
	{2, [2]string{"WETH", "USDC"}, 2_400_000},
	{0, [2]string{"WETH", "SOL"}, 1_600_000},
	{1, [2]string{"BERN", "SOL"}, 150_000},
	{1, [2]string{"BERN", "USDC"}, 40_000},
}
