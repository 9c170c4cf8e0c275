package dlmm

import (
	"encoding/binary"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

var (
	swapExactIn  = []byte{0x41, 0x4b, 0x3f, 0x4c, 0xeb, 0x5b, 0x5b, 0x88} // swap2
	swapExactOut = []byte{0x2b, 0xd7, 0xf7, 0x84, 0x89, 0x3c, 0xf3, 0x51} // swap_exact_out2
)

// spareArrays are passed beyond those that a quote needs, and leastArrays in any case, as the price moves until the swap is executed.
const (
	spareArrays = 1
	leastArrays = 3
)

// passed is the arrays that the swap instruction of a quote names.
func (p *pool) passed(quote amm.Quote) []solana.PublicKey {
	arrays := p.side(quote.AToB).arrays
	return arrays[:min(len(arrays), max(int(quote.Arrays)+spareArrays, leastArrays))]
}

// SwapAccounts counts different ones: the user, the user's two accounts, the two of the event and the memo program with the pair's.
func (p *pool) SwapAccounts(quote amm.Quote) int {
	n := 13 + len(p.passed(quote))
	if p.info.TokenPrograms[0] != p.info.TokenPrograms[1] {
		n++
	}
	if p.extension != p.info.Program {
		n++
	}
	return n
}

func (p *pool) SwapInstruction(quote amm.Quote, swap amm.Swap) (solana.Instruction, error) {
	extension := solana.Meta(p.extension)
	if p.extension != p.info.Program {
		extension.WRITE()
	}
	accounts := solana.AccountMetaSlice{
		solana.Meta(p.info.Address).WRITE(),
		extension,
		solana.Meta(p.info.Vaults[0]).WRITE(),
		solana.Meta(p.info.Vaults[1]).WRITE(),
		solana.Meta(swap.Source).WRITE(),
		solana.Meta(swap.Destination).WRITE(),
		solana.Meta(p.info.Mints[0]),
		solana.Meta(p.info.Mints[1]),
		solana.Meta(p.oracle).WRITE(),
		solana.Meta(p.info.Program), // no account for a host's share of the fee
		solana.Meta(swap.User).SIGNER(),
		solana.Meta(p.info.TokenPrograms[0]),
		solana.Meta(p.info.TokenPrograms[1]),
		solana.Meta(solana.MemoProgramID),
		solana.Meta(p.eventAuthority),
		solana.Meta(p.info.Program),
	}
	for _, array := range p.passed(quote) {
		accounts = append(accounts, solana.Meta(array).WRITE())
	}
	// Both instructions take the amounts as (input, output).
	data, in, out := swapExactIn, quote.Amount, swap.Threshold
	if quote.ExactOut {
		data, in, out = swapExactOut, swap.Threshold, quote.Amount
	}
	data = binary.LittleEndian.AppendUint64(data[:8:8], in)
	data = binary.LittleEndian.AppendUint64(data, out)
	data = binary.LittleEndian.AppendUint32(data, 0) // no accounts for transfer hooks
	return solana.NewInstruction(p.info.Program, accounts, data), nil
}
