package raydiumclmm

import (
	"encoding/binary"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// classic says that neither token is of Token-2022, so that the shorter first swap instruction will do.
func (p *pool) classic() bool {
	return p.info.TokenPrograms[0] == solana.TokenProgramID && p.info.TokenPrograms[1] == solana.TokenProgramID
}

// passed is the arrays that a swap names: those of the quote, and the next in case that the price has moved on by then.
func (p *pool) passed(quote amm.Quote) []array {
	arrays := p.path(quote.AToB).arrays
	return arrays[:min(int(quote.Arrays)+1, len(arrays))]
}

// needsExtension says whether the program looks in the bitmap extension on the way through arrays.
func (p *pool) needsExtension(arrays []array) bool {
	number := floorDiv(p.tick, arrayTicks*p.tickSpacing)
	return number < -poolArrays || number >= poolArrays || len(arrays) > 0 && arrays[len(arrays)-1].extended
}

// SwapAccounts counts different ones: the program, the user and the user's two accounts with the pool's.
func (p *pool) SwapAccounts(quote amm.Quote) int {
	arrays := p.passed(quote)
	n := 10 + len(arrays)
	if !p.classic() {
		n += 4
	}
	if p.needsExtension(arrays) {
		n++
	}
	return n
}

func (p *pool) SwapInstruction(quote amm.Quote, swap amm.Swap) (solana.Instruction, error) {
	arrays := p.passed(quote)
	return p.instruction(quote, swap, arrays, p.needsExtension(arrays), !p.classic())
}

func (p *pool) instruction(quote amm.Quote, swap amm.Swap, arrays []array, extension, v2 bool) (solana.Instruction, error) {
	if len(arrays) == 0 {
		return nil, amm.ErrArraysMissing
	}
	a, b := 0, 1
	if !quote.AToB {
		a, b = 1, 0
	}
	accounts := solana.AccountMetaSlice{
		solana.Meta(swap.User).SIGNER(),
		solana.Meta(p.config),
		solana.Meta(p.info.Address).WRITE(),
		solana.Meta(swap.Source).WRITE(),
		solana.Meta(swap.Destination).WRITE(),
		solana.Meta(p.info.Vaults[a]).WRITE(),
		solana.Meta(p.info.Vaults[b]).WRITE(),
		solana.Meta(p.observation).WRITE(),
		solana.Meta(solana.TokenProgramID),
	}
	data := swapData
	if v2 {
		data = swapV2Data
		accounts = append(accounts,
			solana.Meta(solana.Token2022ProgramID),
			solana.Meta(solana.MemoProgramID),
			solana.Meta(p.info.Mints[a]),
			solana.Meta(p.info.Mints[b]),
		)
	} else { // takes the first array by its place
		accounts = append(accounts, solana.Meta(arrays[0].key).WRITE())
		arrays = arrays[1:]
	}
	if extension {
		accounts = append(accounts, solana.Meta(p.extension).WRITE()) // written when the last limit order of an array is filled
	}
	for _, a := range arrays {
		accounts = append(accounts, solana.Meta(a.key).WRITE())
	}

	data = binary.LittleEndian.AppendUint64(data[:8:8], quote.Amount)
	data = binary.LittleEndian.AppendUint64(data, swap.Threshold)
	data = append(data, make([]byte, 16)...) // no limit price
	exactIn := byte(1)
	if quote.ExactOut {
		exactIn = 0
	}
	return solana.NewInstruction(p.info.Program, accounts, append(data, exactIn)), nil
}
