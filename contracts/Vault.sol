// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IVault} from "./IVault.sol";
import {Quorum} from "./Quorum.sol";

/// @title Prefunded accounts of one network in one ERC-20, drawn by attested enclaves
/// @notice A payer deposits and signs, for each payee, the most that may ever be charged. An enclave takes a lease on part of
/// the account, so that no two enclaves can spend the same credit, and settles once an epoch: one signature over
/// the cumulative amounts of all its accounts, each named by its payer. What is not leased, or comes back from a
/// lease, the payer withdraws by request, delay and finalisation, which need nobody else.
/// @dev There is no owner, no upgrade and no way to change the authority. The authority registers and revokes enclave keys and
/// may pause deposits; it has no way to move money. All times are in seconds. Money is always in one of three places, and
/// the token balance covers their sum: `free` of an account, `allowance - spent` of a lease, `earned` of a payee.
/// Tokens that take a fee or change balances by themselves are not for this contract; the first kind is refused.
contract Vault is IVault, Quorum, EIP712, Multicall, Nonces, Pausable, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using SafeCast for uint256;

    bytes32 private constant CEILING_TYPEHASH = keccak256(
        "SpendingCeiling(address payer,address payee,address session,uint128 maxClaimable,uint32 nonce,uint32 validUntil)"
    );
    bytes32 private constant LEASE_TYPEHASH =
        keccak256("Lease(address enclave,uint64 sequence,uint64 until,bytes32 rows)");
    bytes32 private constant SETTLEMENT_TYPEHASH =
        keccak256("Settlement(address enclave,uint64 sequence,bytes32 rows,bytes32 receiptsRoot,uint8 closing)");
    bytes32 private constant REGISTRATION_TYPEHASH = keccak256(
        "EnclaveRegistration(address enclave,address payee,bytes32 bundle,bytes32 measurement,uint64 validUntil)"
    );
    bytes32 private constant REVOCATION_TYPEHASH = keccak256("EnclaveRevocation(address enclave,bytes32 reason)");
    bytes32 private constant PAUSE_TYPEHASH = keccak256("DepositPause(uint8 paused,uint64 nonce)");
    bytes32 private constant WITHDRAWAL_TYPEHASH =
        keccak256("WithdrawalRequest(address payer,uint128 amount,uint64 nonce,uint64 deadline)");
    uint256 private constant ROW = 32;

    /// @notice The network's id.
    bytes32 public immutable network;
    /// @notice The one token of this vault.
    IERC20 public immutable asset;
    /// @notice The longest time that a lease lasts, unless it is renewed.
    uint256 public immutable leaseTerm;
    /// @notice How long after its end a lease can be settled.
    uint256 public immutable settleWindow;
    /// @notice Between a withdrawal's request and its finalisation; longer than `leaseTerm + settleWindow`.
    uint256 public immutable withdrawDelay;

    /// @notice The nonce that the next DepositPause must carry.
    uint64 public pauseNonce;
    mapping(address payer => Account) public accountOf;
    mapping(address payer => mapping(address payee => Ceiling)) public ceilingOf;
    mapping(address enclave => mapping(address payer => Lease)) public leaseOf;
    mapping(address enclave => Enclave) public enclaveOf;
    /// @notice What a payee may collect.
    mapping(address payee => uint256) public earned;

    /// @param network_ id of the network
    /// @param asset_ the ERC-20
    /// @param authority addresses of the network's authority
    /// @param quorum how many of them a registration needs; more than half
    /// @param delays lease term, settlement window, withdrawal delay
    constructor(bytes32 network_, IERC20 asset_, address[] memory authority, uint256 quorum, uint32[3] memory delays)
        Quorum(authority, quorum)
        EIP712("Hallmark Vault", "1")
    {
        if (address(asset_).code.length == 0) revert BadAsset(address(asset_));
        (leaseTerm, settleWindow, withdrawDelay) = (delays[0], delays[1], delays[2]);
        bool outlasts = withdrawDelay > leaseTerm + settleWindow;
        if (leaseTerm == 0 || settleWindow == 0 || !outlasts || withdrawDelay < 15 minutes || withdrawDelay > 30 days) {
            revert BadDelays(leaseTerm, settleWindow, withdrawDelay);
        }
        network = network_;
        asset = asset_;
    }

    // ---- payers

    /// @notice Put `amount` of the caller's tokens (approved before) into the account of `payer`.
    function deposit(address payer, uint256 amount) external nonReentrant whenNotPaused {
        uint256 before = asset.balanceOf(address(this));
        asset.safeTransferFrom(msg.sender, address(this), amount);
        _credit(payer, msg.sender, amount, before);
    }

    /// @notice The same without gas for the payer: anyone may submit the payer's signed EIP-3009 authorization to this vault.
    function depositWithAuthorization(
        address payer,
        uint256 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant whenNotPaused {
        uint256 before = asset.balanceOf(address(this));
        IERC3009(address(asset)).receiveWithAuthorization(
            payer, address(this), amount, validAfter, validBefore, nonce, v, r, s
        );
        _credit(payer, payer, amount, before);
    }

    /// @notice Put a payer's signed ceiling in force. Anyone may submit it; contract wallets sign by ERC-1271.
    function setCeiling(SpendingCeiling calldata ceiling, bytes calldata signature) external {
        Ceiling storage kept = ceilingOf[ceiling.payer][ceiling.payee];
        if (ceiling.nonce <= kept.nonce) revert StaleNonce(ceiling.nonce, kept.nonce);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(CEILING_TYPEHASH, ceiling)));
        _requireSigner(ceiling.payer, digest, signature);
        kept.maxClaimable = uint256(ceiling.maxClaimable).toUint96();
        kept.nonce = ceiling.nonce;
        kept.validUntil = ceiling.validUntil;
        emit CeilingSet(
            ceiling.payer, ceiling.payee, ceiling.session, ceiling.maxClaimable, ceiling.nonce, ceiling.validUntil
        );
    }

    /// @notice Ask for `amount` back (more than there is: everything; 0: cancel). A new request replaces the one before and
    /// its delay begins again. From now on no lease takes from it, and none is renewed while what is free does not cover it.
    function requestWithdrawal(uint96 amount) external {
        _request(msg.sender, amount);
    }

    /// @notice The same without gas for the payer. `nonce` is `nonces(payer)`.
    function requestWithdrawalFor(address payer, uint128 amount, uint64 nonce, uint64 deadline, bytes calldata signature)
        external
    {
        if (block.timestamp > deadline) revert Expired(deadline);
        _useCheckedNonce(payer, nonce);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(WITHDRAWAL_TYPEHASH, payer, amount, nonce, deadline)));
        _requireSigner(payer, digest, signature);
        _request(payer, uint256(amount).toUint96());
    }

    /// @notice Pay out what was requested, as far as it is free, to the payer. Anyone may call it once the delay is over. Leases
    /// that ended are given back by `release` first; with all of them back this pays min(requested, all that was not
    /// spent). What the account does not have is struck from the request.
    function finalizeWithdrawal(address payer) external nonReentrant {
        Account storage kept = accountOf[payer];
        if (kept.readyAt == 0 || block.timestamp < kept.readyAt) revert NotReady(kept.readyAt);
        uint96 amount = kept.withdrawing < kept.free ? kept.withdrawing : kept.free;
        kept.free -= amount;
        kept.withdrawing = kept.open == 0 ? 0 : kept.withdrawing - amount;
        if (kept.withdrawing == 0) kept.readyAt = 0;
        emit Withdrawn(payer, amount);
        if (amount > 0) asset.safeTransfer(payer, amount);
    }

    /// @notice Give back what is left of a lease that can no longer be settled: its window is over, or its enclave is revoked.
    /// Anyone may call it.
    function release(address enclave, address payer) external {
        uint256 until = leaseOf[enclave][payer].until;
        bool ended = block.timestamp > until + settleWindow || enclaveOf[enclave].revoked;
        if (until == 0 || !ended) revert LeaseNotEnded(enclave, payer);
        _giveBack(enclave, enclaveOf[enclave].payee, payer);
    }

    // ---- enclaves and payees

    /// @notice Take leases, or raise and renew them. Each row is 20 bytes payer and 12 bytes cumulative allowance. A row
    /// that the account does not allow changes nothing and emits LeaseRefused: read `leaseOf` before drawing.
    function lease(address enclave, uint64 sequence, uint64 until, bytes calldata rows, bytes calldata signature) external {
        Enclave storage by = enclaveOf[enclave];
        if (block.timestamp > by.validUntil) revert EnclaveNotRegistered(enclave);
        if (until <= block.timestamp || until > block.timestamp + leaseTerm) revert BadTerm(until);
        bytes32 digest = keccak256(abi.encode(LEASE_TYPEHASH, enclave, sequence, until, keccak256(rows)));
        _advance(by, enclave, sequence, rows.length, digest, signature);
        for (uint256 i = 0; i < rows.length; i += ROW) {
            (address payer, uint96 allowance) = _row(rows, i);
            if (!_grant(leaseOf[enclave][payer], by.payee, payer, allowance, until)) {
                emit LeaseRefused(enclave, payer, allowance);
            }
        }
        emit Leased(enclave, sequence, until, rows);
    }

    /// @notice Charge accounts: each row is 20 bytes payer and 12 bytes cumulative charge of this enclave. One signature covers
    /// all rows, so nobody but the enclave says who is charged. With `closing` what is left of these leases goes back to
    /// the accounts. A row without a lease, or whose lease has ended, charges nothing and emits RowTooLate; any other row
    /// that does not fit refuses them all.
    function settle(
        address enclave,
        uint64 sequence,
        bytes calldata rows,
        bytes32 receiptsRoot,
        bool closing,
        bytes calldata signature
    ) external {
        Enclave storage by = enclaveOf[enclave];
        bytes32 digest = keccak256(
            abi.encode(SETTLEMENT_TYPEHASH, enclave, sequence, keccak256(rows), receiptsRoot, closing ? 1 : 0)
        );
        _advance(by, enclave, sequence, rows.length, digest, signature);
        address payee = by.payee;
        mapping(address => Lease) storage leases = leaseOf[enclave];
        uint256 total = 0;
        for (uint256 i = 0; i < rows.length; i += ROW) {
            (address payer, uint96 cumulative) = _row(rows, i);
            Lease memory found = leases[payer];
            if (found.until == 0 || block.timestamp > found.until + settleWindow) {
                emit RowTooLate(enclave, payer, cumulative);
                continue;
            }
            if (cumulative < found.spent) revert RowGoesBack(payer, cumulative, found.spent);
            if (cumulative > found.allowance) revert RowAboveLease(payer, cumulative, found.allowance);
            total += cumulative - found.spent;
            found.spent = cumulative;
            leases[payer] = found;
            if (closing) _giveBack(enclave, payee, payer);
        }
        if (total > 0) earned[payee] += total;
        emit Settled(enclave, payee, sequence, total, receiptsRoot, rows);
    }

    /// @notice Pay a payee what it earned. Anyone may call it; it goes to the payee and nowhere else.
    function collect(address payee) external nonReentrant {
        uint256 amount = earned[payee];
        if (amount == 0) revert NothingToDo();
        earned[payee] = 0;
        emit Collected(payee, amount);
        asset.safeTransfer(payee, amount);
    }

    // ---- the network's authority

    /// @notice A quorum lets an enclave's key take leases and settle for a payee. `bundle` is the digest of its key bundle,
    /// `measurement` that of the approved measurement that its evidence showed. Registering again extends it.
    function register(
        address enclave,
        address payee,
        bytes32 bundle,
        bytes32 measurement,
        uint64 validUntil,
        bytes[] calldata signatures
    ) external {
        Enclave storage kept = enclaveOf[enclave];
        if (kept.revoked) revert EnclaveIsRevoked(enclave);
        bool other = kept.payee != address(0) && kept.payee != payee;
        if (enclave == address(0) || payee == address(0) || other) revert BadRegistration(enclave);
        if (validUntil <= kept.validUntil) revert StaleNonce(validUntil, kept.validUntil);
        _requireQuorum(
            _hashTypedDataV4(keccak256(abi.encode(REGISTRATION_TYPEHASH, enclave, payee, bundle, measurement, validUntil))),
            signatures
        );
        kept.payee = payee;
        kept.validUntil = uint256(validUntil).toUint40();
        emit EnclaveRegistered(enclave, payee, bundle, measurement, validUntil);
    }

    /// @notice A quorum takes a key out for good: it settles and leases nothing more, and its leases can be released at once.
    function revoke(address enclave, bytes32 reason, bytes[] calldata signatures) external {
        if (enclaveOf[enclave].revoked) revert EnclaveIsRevoked(enclave);
        _requireQuorum(_hashTypedDataV4(keccak256(abi.encode(REVOCATION_TYPEHASH, enclave, reason))), signatures);
        enclaveOf[enclave].revoked = true;
        emit EnclaveRevoked(enclave, reason);
    }

    /// @notice A quorum stops deposits, or lets them begin again. Nothing else ever stops.
    function pauseDeposits(bool stop, bytes[] calldata signatures) external {
        uint64 nonce = pauseNonce++;
        _requireQuorum(_hashTypedDataV4(keccak256(abi.encode(PAUSE_TYPEHASH, stop ? 1 : 0, nonce))), signatures);
        stop ? _pause() : _unpause();
    }

    // ---- inside

    function _credit(address payer, address from, uint256 amount, uint256 before) private {
        uint256 received = asset.balanceOf(address(this)) - before;
        if (amount == 0) revert NothingToDo();
        if (received != amount) revert UnexpectedTransfer(amount, received);
        if (payer == address(0)) revert UnknownAccount(payer);
        accountOf[payer].free += amount.toUint96();
        emit Deposited(payer, from, amount);
    }

    function _request(address payer, uint96 amount) private {
        uint32 readyAt = amount == 0 ? 0 : (block.timestamp + withdrawDelay).toUint32();
        accountOf[payer].withdrawing = amount;
        accountOf[payer].readyAt = readyAt;
        emit WithdrawalRequested(payer, amount, readyAt);
    }

    /// @dev Raises one lease to `allowance` until `until`, or changes nothing and returns false.
    function _grant(Lease storage kept, address payee, address payer, uint96 allowance, uint64 until) private returns (bool) {
        if (allowance < kept.allowance) revert LeaseShrinks(payer, allowance, kept.allowance);
        uint256 more = allowance - kept.allowance;
        Account storage from = accountOf[payer];
        Ceiling storage ceiling = ceilingOf[payer][payee];
        if (more + from.withdrawing > from.free) return false;
        if (more + ceiling.committed > ceiling.maxClaimable || until > ceiling.validUntil) return false;
        from.free -= uint96(more);
        ceiling.committed += uint96(more);
        kept.allowance = allowance;
        if (kept.until == 0) ++from.open;
        if (kept.until < until) kept.until = until;
        return true;
    }

    function _giveBack(address enclave, address payee, address payer) private {
        Lease storage kept = leaseOf[enclave][payer];
        uint96 rest = kept.allowance - kept.spent;
        kept.allowance = kept.spent;
        kept.until = 0;
        accountOf[payer].free += rest;
        --accountOf[payer].open;
        ceilingOf[payer][payee].committed -= rest;
        emit LeaseReturned(enclave, payer, rest);
    }

    /// @dev The enclave's statement is new, by its registered key, and not revoked.
    function _advance(
        Enclave storage by,
        address enclave,
        uint64 sequence,
        uint256 length,
        bytes32 hashed,
        bytes calldata signature
    ) private {
        if (by.payee == address(0)) revert EnclaveNotRegistered(enclave);
        if (by.revoked) revert EnclaveIsRevoked(enclave);
        if (sequence <= by.sequence) revert StaleSequence(sequence, by.sequence);
        if (length == 0 || length % ROW != 0) revert BadRows(length);
        if (ECDSA.recoverCalldata(_hashTypedDataV4(hashed), signature) != enclave) revert BadSignature(enclave);
        by.sequence = uint256(sequence).toUint48();
    }

    function _row(bytes calldata rows, uint256 i) private pure returns (address payer, uint96 amount) {
        uint256 row = uint256(bytes32(rows[i:i + ROW]));
        return (address(uint160(row >> 96)), uint96(row));
    }

    function _requireSigner(address signer, bytes32 digest, bytes calldata signature) private view {
        if (!SignatureChecker.isValidSignatureNowCalldata(signer, digest, signature)) revert BadSignature(signer);
    }
}
