package token

import (
	"fmt"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// Mint extensions, numbered as in the Token-2022 program's ExtensionType.
const (
	extTransferFeeConfig             = 1
	extMintCloseAuthority            = 3
	extConfidentialTransferMint      = 4
	extDefaultAccountState           = 6
	extNonTransferable               = 9
	extInterestBearing               = 10
	extPermanentDelegate             = 12
	extTransferHook                  = 14
	extConfidentialTransferFeeConfig = 16
	extMetadataPointer               = 18
	extTokenMetadata                 = 19
	extGroupPointer                  = 20
	extTokenGroup                    = 21
	extGroupMemberPointer            = 22
	extTokenGroupMember              = 23
	extConfidentialMintBurn          = 24
	extScaledUIAmount                = 25
	extPausable                      = 26
)

var extensionNames = map[uint16]string{
	extTransferFeeConfig:             "TransferFeeConfig",
	extMintCloseAuthority:            "MintCloseAuthority",
	extConfidentialTransferMint:      "ConfidentialTransferMint",
	extDefaultAccountState:           "DefaultAccountState",
	extNonTransferable:               "NonTransferable",
	extInterestBearing:               "InterestBearingConfig",
	extPermanentDelegate:             "PermanentDelegate",
	extTransferHook:                  "TransferHook",
	extConfidentialTransferFeeConfig: "ConfidentialTransferFeeConfig",
	extMetadataPointer:               "MetadataPointer",
	extTokenMetadata:                 "TokenMetadata",
	extGroupPointer:                  "GroupPointer",
	extTokenGroup:                    "TokenGroup",
	extGroupMemberPointer:            "GroupMemberPointer",
	extTokenGroupMember:              "TokenGroupMember",
	extConfidentialMintBurn:          "ConfidentialMintBurn",
	extScaledUIAmount:                "ScaledUiAmountConfig",
	extPausable:                      "PausableConfig",
}

func extensionName(extension uint16) string {
	if name, ok := extensionNames[extension]; ok {
		return name
	}
	return fmt.Sprintf("extension %d", extension)
}

// apply takes what one extension does to plain transfers into m.
func (m *Mint) apply(key solana.PublicKey, extension uint16, value *amm.Reader) error {
	refuse := func(reason string) error {
		return &amm.UnsupportedError{Account: key, Feature: "Token-2022 " + extensionName(extension), Reason: reason}
	}
	switch extension {
	case extTransferFeeConfig:
		m.older = transferFee(value, 72, "older_transfer_fee")
		m.newer = transferFee(value, 90, "newer_transfer_fee")
		return value.Err()
	case extTransferHook:
		// Without a program there is nothing to call; issuers add the extension to keep the choice.
		hook := value.Key(32, "transfer_hook.program_id")
		if err := value.Err(); err != nil || hook.IsZero() {
			return err
		}
		return refuse("every transfer calls program " + hook.String() + ", which needs accounts of its own")
	case extPausable:
		paused := value.Bool(32, "pausable.paused")
		if err := value.Err(); err != nil || !paused {
			return err
		}
		return refuse("transfers are paused")
	case extNonTransferable:
		return refuse("the token cannot be transferred")
	case extMintCloseAuthority, extDefaultAccountState, extInterestBearing, extPermanentDelegate, extMetadataPointer,
		extTokenMetadata, extGroupPointer, extTokenGroup, extGroupMemberPointer, extTokenGroupMember, extScaledUIAmount,
		// The confidential ones apply to encrypted balances only: swaps move plain ones.
		extConfidentialTransferMint, extConfidentialTransferFeeConfig, extConfidentialMintBurn:
		return nil
	default:
		return refuse("what it does to transfers is not known")
	}
}
