package dlmm

import (
	"encoding/binary"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// passed is the arrays that a swap names: those of the quote, and the next in case that the price has moved on by then.
func (p *pair) passed(quote amm.Quote) []array {
	arrays := p.path(quote.AToB).arrays
	return arrays[:min(int(quote.Arrays)+1, len(arrays))]
}

// SwapAccounts counts different ones: the program, the user and the user's two accounts with the pair's.
func (p *pair) SwapAccounts(quote amm.Quote) int {
	n := 13 + len(p.passed(quote))
	if p.info.TokenPrograms[0] != p.info.TokenPrograms[1] {
		n++
	}
	if p.hasExtension {
		n++
	}
	return n
}

func (p *pair) SwapInstruction(quote amm.Quote, swap amm.Swap) (solana.Instruction, error) {
	return p.instruction(quote, swap, p.passed(quote))
}

func (p *pair) instruction(quote amm.Quote, swap amm.Swap, arrays []array) (solana.Instruction, error) {
	if len(arrays) == 0 {
		return nil, amm.ErrArraysMissing
	}
	events, _, err := solana.FindProgramAddress([][]byte{[]byte("__event_authority")}, p.info.Program)
	if err != nil {
		return nil, err
	}
	none := solana.Meta(p.info.Program) // how an optional account is left out
	extension := none
	if p.hasExtension {
		extension = solana.Meta(p.extension).WRITE()
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
		none, // no host takes a share of the fee
		solana.Meta(swap.User).SIGNER(),
		solana.Meta(p.info.TokenPrograms[0]),
		solana.Meta(p.info.TokenPrograms[1]),
		solana.Meta(solana.MemoProgramID),
		solana.Meta(events),
		solana.Meta(p.info.Program),
	}
	for _, a := range arrays {
		accounts = append(accounts, solana.Meta(a.key).WRITE())
	}
	// Both instructions take the amounts as (input, output).
	data, in, out := swap2Data, quote.Amount, swap.Threshold
	if quote.ExactOut {
		data, in, out = swapExactOut2Data, swap.Threshold, quote.Amount
	}
	data = binary.LittleEndian.AppendUint64(data[:8:8], in)
	data = binary.LittleEndian.AppendUint64(data, out)
	data = append(data, 0, 0, 0, 0) // no accounts for transfer hooks
	return solana.NewInstruction(p.info.Program, accounts, data), nil
}
