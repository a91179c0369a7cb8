// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What the vault keeps, tells and refuses
interface IVault {
    /// @notice One slot. `open` counts leases that were not given back. `withdrawing` is requested and payable from
    /// `readyAt` on; leases never take from it.
    struct Account {
        uint96 free;
        uint96 withdrawing;
        uint32 open;
        uint32 readyAt;
    }

    /// @notice One slot. Both amounts are cumulative over the life of the enclave's key. `until` 0: not open.
    struct Lease {
        uint96 allowance;
        uint96 spent;
        uint64 until;
    }

    /// @notice One slot. `committed` is what was charged for this payee plus what open leases may still charge.
    struct Ceiling {
        uint96 maxClaimable;
        uint96 committed;
        uint32 nonce;
        uint32 validUntil;
    }

    /// @notice One slot. `sequence` is that of its newest settlement or lease; no lease begins after `validUntil`.
    struct Enclave {
        address payee;
        uint48 sequence;
        uint40 validUntil;
        bool revoked;
    }

    /// @notice What a payer signs: at most `maxClaimable` may ever be charged for `payee`, and no lease lasts beyond
    /// `validUntil`. `session` is the key that signs the payer's requests (zero: the payer itself); enclaves check it.
    /// The highest `nonce` counts, so a ceiling can be raised, lowered and ended.
    struct SpendingCeiling {
        address payer;
        address payee;
        address session;
        uint128 maxClaimable;
        uint32 nonce;
        uint32 validUntil;
    }

    event Deposited(address indexed payer, address indexed from, uint256 amount);
    event CeilingSet(
        address indexed payer, address indexed payee, address session, uint128 maxClaimable, uint32 nonce, uint32 validUntil
    );
    event EnclaveRegistered(
        address indexed enclave, address indexed payee, bytes32 bundle, bytes32 measurement, uint64 validUntil
    );
    event EnclaveRevoked(address indexed enclave, bytes32 reason);
    /// @notice `rows` as given: 20 bytes payer, 12 bytes cumulative allowance. Refused rows have a LeaseRefused each.
    event Leased(address indexed enclave, uint64 sequence, uint64 until, bytes rows);
    /// @notice Too little is free, a withdrawal was requested, or no ceiling allows it; nothing changed for this account.
    event LeaseRefused(address indexed enclave, address indexed payer, uint96 allowance);
    /// @notice A lease ended; `amount` is free again.
    event LeaseReturned(address indexed enclave, address indexed payer, uint96 amount);
    /// @notice `rows` as given: 20 bytes payer, 12 bytes cumulative charge. `total` is what they newly charge.
    event Settled(
        address indexed enclave, address indexed payee, uint64 sequence, uint256 total, bytes32 receiptsRoot, bytes rows
    );
    /// @notice This row came after its lease had ended; nothing is charged for it.
    event RowTooLate(address indexed enclave, address indexed payer, uint96 cumulative);
    event Collected(address indexed payee, uint256 amount);
    event WithdrawalRequested(address indexed payer, uint96 amount, uint32 readyAt);
    event Withdrawn(address indexed payer, uint256 amount);

    /// @notice Delays do not fit: the withdrawal delay is 15 minutes to 30 days and longer than a lease and its settlement.
    error BadDelays(uint256 leaseTerm, uint256 settleWindow, uint256 withdrawDelay);
    /// @notice The asset has no code.
    error BadAsset(address asset);
    /// @notice The token moved another amount than it was told to.
    error UnexpectedTransfer(uint256 expected, uint256 received);
    /// @notice Nothing would change.
    error NothingToDo();
    /// @notice Nobody has this address.
    error UnknownAccount(address payer);
    /// @notice The signature is not by the one who has to sign.
    error BadSignature(address signer);
    /// @notice A newer statement of the same kind is in force.
    error StaleNonce(uint256 given, uint256 latest);
    /// @notice The statement's time is over.
    error Expired(uint256 deadline);
    /// @notice A zero address or amount where there must be one, or another payee than at first.
    error BadRegistration(address enclave);
    /// @notice No quorum registered this key, or its registration is over.
    error EnclaveNotRegistered(address enclave);
    /// @notice This key was revoked; that is final.
    error EnclaveIsRevoked(address enclave);
    /// @notice The sequence number is not above the newest of this enclave.
    error StaleSequence(uint64 given, uint64 latest);
    /// @notice Rows are 32 bytes each and there is at least one.
    error BadRows(uint256 length);
    /// @notice A lease ends in the future and lasts at most `leaseTerm`.
    error BadTerm(uint64 until);
    /// @notice A lease's allowance only grows; it shrinks by being given back.
    error LeaseShrinks(address payer, uint96 given, uint96 allowance);
    /// @notice The cumulative amount is below what is settled already.
    error RowGoesBack(address payer, uint96 given, uint96 spent);
    /// @notice The cumulative amount is above the lease.
    error RowAboveLease(address payer, uint96 given, uint96 allowance);
    /// @notice The lease is not open, or can still be settled.
    error LeaseNotEnded(address enclave, address payer);
    /// @notice No withdrawal was requested, or its delay is not over.
    error NotReady(uint256 readyAt);
}
