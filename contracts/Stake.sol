// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Anchor} from "./Anchor.sol";

/// @title Stake of the owners of nodes of one Hallmark network, in one ERC-20
/// @notice An owner deposits, and says how much of it answers for each node key (its exposure); all exposures together are at
/// most half of the stake. A fault entry of the log, below a checkpoint that a quorum of full nodes signed and the Anchor
/// holds, takes the exposure of the key that it names. What is taken is held through an appeal window: so many full
/// nodes that no quorum is without one of them refute the fault by their verdicts, and it goes back.
/// @dev There is no owner, no upgrade, no pause and no administrator. All times are in seconds. Money is in one of two places,
/// and the token balance covers their sum: `stake` of an account, `amount` of a hold that is HELD. Tokens that take a fee or
/// change balances by themselves are not for this contract; the first kind is refused.
contract Stake is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using SafeCast for uint256;

    /// @notice `unbonding` is longer than the sum of the four before it, so what a fault can still take has not left.
    struct Delays {
        uint32 audit;
        uint32 dispute;
        uint32 referee;
        uint32 log;
        uint32 appeal;
        uint32 unbonding;
    }

    /// @notice `leaving` is part of `stake` until it is paid out, from `leavesAt` on.
    struct Account {
        uint128 stake;
        uint128 exposed;
        uint128 leaving;
        uint64 leavesAt;
    }

    /// @notice What answers for a node key; from `lowersAt` (0: never) on it may be `lowered`. `faults` that stand eject the key.
    struct Exposure {
        uint128 amount;
        uint128 lowered;
        uint64 lowersAt;
        uint32 faults;
    }

    enum State {
        NONE,
        HELD,
        REFUTED,
        TAKEN
    }

    /// @notice What was taken for the fault entry at `index`, held until `until`.
    struct Hold {
        address owner;
        address node;
        uint128 amount;
        uint64 index;
        uint64 until;
        State state;
    }

    /// @notice A full node's signed verdict (EIP-712 `Verdict`), with the list that it commits to.
    struct Objection {
        address author;
        uint64 size;
        bytes32 root;
        uint64 said;
        bytes list;
        bytes signature;
    }

    /// @notice Somebody put `amount` into the owner's account.
    event Deposited(address indexed owner, uint256 amount);
    /// @notice So much answers for the node key now.
    event Exposed(address indexed owner, address indexed node, uint256 amount);
    /// @notice The exposure may be lowered to `amount` from `due` on.
    event Lowering(address indexed owner, address indexed node, uint256 amount, uint256 due);
    /// @notice `amount` may leave from `due` on.
    event Leaving(address indexed owner, uint256 amount, uint256 due);
    /// @notice `amount` was paid out.
    event Left(address indexed owner, uint256 amount);
    /// @notice A fault took `amount`, held until `until`.
    event Slashed(bytes32 indexed hold, address indexed owner, address indexed node, uint64 index, uint256 amount, uint256 until);
    /// @notice The fault was refuted, and the owner has the amount back.
    event Restored(bytes32 indexed hold, uint256 amount);
    /// @notice Nobody refuted the fault in time.
    event Taken(bytes32 indexed hold, uint256 amount);

    error BadDelays();
    error BadParties();
    error NothingReceived(uint256 received, uint256 amount);
    error NotEnoughStake(uint256 needed, uint256 available);
    error NothingPending();
    error TooEarly(uint256 from);
    error TooLate(uint256 until);
    error Ejected(address node);
    error NotAFault();
    error OtherNetwork(bytes32 named);
    error NotSlashable(bytes32 kind);
    error UnknownAuthor(address author);
    error NothingExposed(address owner, address node);
    error AlreadyHeld(bytes32 hold);
    error NotHeld(bytes32 hold);
    error TooFewObjections(uint256 objections, uint256 needed);
    error AuthorsNotAscending(address before, address next);
    error DoesNotObject(uint64 index);

    bytes32 private constant DOMAIN_TYPEHASH = keccak256("EIP712Domain(string name,string version,uint256 chainId)");
    bytes32 private constant FAULT_TYPEHASH = keccak256(
        "Fault(bytes32 network,address author,address culprit,bytes32 kind,uint64 first,uint64 second,uint64 at)"
    );
    bytes32 private constant VERDICT_TYPEHASH =
        keccak256("Verdict(bytes32 network,address author,uint64 size,bytes32 root,bytes32 objected,uint64 at)");
    /// @dev u64 admitted, u8 version, u8 kind, statement of 128 bytes, u8 and one signature of 65 bytes, u8 no attachment.
    uint256 private constant FAULT_LEAF = 205;
    uint256 private constant RUN = 44;
    uint256 private constant MOST_UNBONDING = 180 days;

    /// @notice The checkpoints that a quorum signed; its signers are the full nodes.
    Anchor public immutable anchor;
    /// @notice The network's id, as the Anchor has it.
    bytes32 public immutable network;
    /// @notice The one token.
    IERC20 public immutable asset;
    /// @notice Who gets what nobody refuted in time.
    address public immutable beneficiary;
    /// @notice So many full nodes that no quorum is without one of them.
    uint256 public immutable objectors;
    /// @notice See `Delays`.
    Delays public delays;

    mapping(address owner => Account) public accountOf;
    mapping(address owner => mapping(address node => Exposure)) public exposureOf;
    mapping(bytes32 hold => Hold) public holdOf;

    constructor(Anchor anchor_, IERC20 asset_, address beneficiary_, Delays memory delays_) {
        if (beneficiary_ == address(0) || beneficiary_ == address(this)) revert BadParties();
        uint256 showing = uint256(delays_.audit) + delays_.dispute + delays_.referee + delays_.log;
        if (
            delays_.log == 0 || delays_.appeal <= delays_.log || delays_.unbonding <= showing
                || delays_.unbonding > MOST_UNBONDING || delays_.appeal > MOST_UNBONDING
        ) revert BadDelays();
        anchor = anchor_;
        network = anchor_.network();
        objectors = anchor_.signers().length - anchor_.threshold() + 1;
        asset = asset_;
        beneficiary = beneficiary_;
        delays = delays_;
    }

    /// @notice Put `amount` of the caller's tokens (approved before) into the account of `owner`.
    function deposit(address owner, uint256 amount) external nonReentrant {
        uint256 before = asset.balanceOf(address(this));
        asset.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = asset.balanceOf(address(this)) - before;
        if (amount == 0 || received != amount) revert NothingReceived(received, amount);
        accountOf[owner].stake += amount.toUint128();
        emit Deposited(owner, amount);
    }

    /// @notice Have `amount` of the caller's stake answer for a node key, at least as much as before. A lowering that waits ends.
    function expose(address node, uint128 amount) external {
        Account storage account = accountOf[msg.sender];
        Exposure storage exposure = exposureOf[msg.sender][node];
        if (exposure.faults != 0) revert Ejected(node);
        if (amount < exposure.amount) revert NotEnoughStake(exposure.amount, amount);
        uint256 exposed = uint256(account.exposed) - exposure.amount + amount;
        uint256 staying = uint256(account.stake) - account.leaving;
        if (2 * exposed > staying) revert NotEnoughStake(2 * exposed, staying);
        account.exposed = exposed.toUint128();
        exposure.amount = amount;
        exposure.lowersAt = 0;
        emit Exposed(msg.sender, node, amount);
    }

    /// @notice Ask that less answers for a node key, from the unbonding delay on. Until then all of it does.
    function requestLowering(address node, uint128 amount) external {
        Exposure storage exposure = exposureOf[msg.sender][node];
        if (amount >= exposure.amount) revert NothingPending();
        exposure.lowered = amount;
        exposure.lowersAt = uint64(block.timestamp) + delays.unbonding;
        emit Lowering(msg.sender, node, amount, exposure.lowersAt);
    }

    /// @notice Lower what was asked for. Anyone may call it.
    function lower(address owner, address node) external {
        Exposure storage exposure = exposureOf[owner][node];
        _requireDue(exposure.lowersAt);
        accountOf[owner].exposed -= exposure.amount - exposure.lowered;
        exposure.amount = exposure.lowered;
        exposure.lowersAt = 0;
        emit Exposed(owner, node, exposure.amount);
    }

    /// @notice So much of an owner's stake can be counted on for a node key. What is asked to be lowered can still be taken, but is
    /// counted no more from the request on: once it is due, it can be gone in the block before a fault is shown.
    function backing(address owner, address node) external view returns (uint128) {
        Exposure storage exposure = exposureOf[owner][node];
        return exposure.lowersAt == 0 ? exposure.amount : exposure.lowered;
    }

    /// @notice Ask for `amount` back (0: cancel), from the unbonding delay on. A new request begins the delay again. What leaves
    /// backs no further exposure from now on.
    function requestExit(uint128 amount) external {
        Account storage account = accountOf[msg.sender];
        if (amount > account.stake) revert NotEnoughStake(amount, account.stake);
        account.leaving = amount;
        account.leavesAt = amount == 0 ? 0 : uint64(block.timestamp) + delays.unbonding;
        emit Leaving(msg.sender, amount, account.leavesAt);
    }

    /// @notice Pay out what was asked for, as far as twice the exposure stays. Anyone may call it; the owner gets it.
    function exit(address owner) external nonReentrant {
        Account storage account = accountOf[owner];
        _requireDue(account.leavesAt);
        uint256 amount = account.leaving;
        uint256 staying = uint256(account.stake) - amount;
        if (2 * uint256(account.exposed) > staying) revert NotEnoughStake(2 * uint256(account.exposed), staying);
        account.stake = staying.toUint128();
        account.leaving = 0;
        account.leavesAt = 0;
        asset.safeTransfer(owner, amount);
        emit Left(owner, amount);
    }

    /// @notice Take what an owner exposed for the key that a fault entry names. Anyone may call it; nobody is paid for it.
    /// @param leaf the entry's leaf in the log, whole
    /// @param index where it stands
    /// @param size an anchored checkpoint above it
    /// @param proof the audit path
    /// @return hold the name of what is held
    function slash(address owner, bytes calldata leaf, uint64 index, uint64 size, bytes32[] calldata proof)
        external
        returns (bytes32 hold)
    {
        anchor.verifyInclusion(sha256(abi.encodePacked(bytes1(0x00), leaf)), index, size, proof);
        address node;
        (node, hold) = _readFault(owner, leaf);
        if (holdOf[hold].state != State.NONE) revert AlreadyHeld(hold);
        Account storage account = accountOf[owner];
        Exposure storage exposure = exposureOf[owner][node];
        uint128 amount = exposure.amount;
        if (amount == 0) revert NothingExposed(owner, node);
        exposure.amount = 0;
        exposure.lowersAt = 0;
        exposure.faults += 1;
        account.exposed -= amount;
        account.stake -= amount;
        if (account.leaving > account.stake) account.leaving = account.stake;
        uint64 until = uint64(block.timestamp) + delays.appeal;
        holdOf[hold] = Hold(owner, node, amount, index, until, State.HELD);
        emit Slashed(hold, owner, node, index, amount, until);
    }

    /// @notice Refute the fault behind a hold, before its appeal window ends: full nodes object to the entry. The stake goes back,
    /// and the key may be exposed again; no exposure is set.
    /// @param objections ascending by author, at least `objectors` of them, all of them valid
    function refute(bytes32 hold, Objection[] calldata objections) external {
        Hold storage held = holdOf[hold];
        if (held.state != State.HELD) revert NotHeld(hold);
        if (block.timestamp >= held.until) revert TooLate(held.until);
        if (objections.length < objectors) revert TooFewObjections(objections.length, objectors);
        address before = address(0);
        for (uint256 i = 0; i < objections.length; ++i) {
            address author = objections[i].author;
            if (author <= before) revert AuthorsNotAscending(before, author);
            _requireObjection(objections[i], held.index);
            before = author;
        }
        held.state = State.REFUTED;
        accountOf[held.owner].stake += held.amount;
        exposureOf[held.owner][held.node].faults -= 1;
        emit Restored(hold, held.amount);
    }

    /// @notice Pay what nobody refuted in time to the beneficiary. Anyone may call it.
    function take(bytes32 hold) external nonReentrant {
        Hold storage held = holdOf[hold];
        if (held.state != State.HELD) revert NotHeld(hold);
        if (block.timestamp < held.until) revert TooEarly(held.until);
        held.state = State.TAKEN;
        asset.safeTransfer(beneficiary, held.amount);
        emit Taken(hold, held.amount);
    }

    /// @dev A fault entry of this network, signed by a full node, of a kind that takes stake; the key that it names. One fault is
    /// one hold for an owner, whoever logged it and however often.
    function _readFault(address owner, bytes calldata leaf) private view returns (address culprit, bytes32 hold) {
        if (leaf.length != FAULT_LEAF || leaf[8] != 0x01 || leaf[9] != 0x0a || leaf[138] != 0x01 || leaf[204] != 0x00) {
            revert NotAFault();
        }
        bytes32 named = bytes32(leaf[10:42]);
        if (named != network) revert OtherNetwork(named);
        address author = address(bytes20(leaf[42:62]));
        culprit = address(bytes20(leaf[62:82]));
        bytes32 kind = bytes32(leaf[82:114]);
        if (kind != bytes32("equivocation")) revert NotSlashable(kind);
        uint64 first = uint64(bytes8(leaf[114:122]));
        uint64 second = uint64(bytes8(leaf[122:130]));
        uint64 said = uint64(bytes8(leaf[130:138]));
        bytes32 statement = keccak256(abi.encode(FAULT_TYPEHASH, named, author, culprit, kind, first, second, said));
        _requireFullNode(author, statement, leaf[139:204]);
        (first, second) = first < second ? (first, second) : (second, first);
        hold = keccak256(abi.encode(owner, culprit, kind, first, second));
    }

    /// @dev The verdict is of a full node, over a history that holds the entry, and its list covers the entry.
    function _requireObjection(Objection calldata objection, uint64 index) private view {
        if (objection.size <= index) revert DoesNotObject(index);
        bytes32 objected = sha256(abi.encodePacked("hallmark/objected/v1", bytes1(0), objection.list));
        bytes32 statement = keccak256(
            abi.encode(
                VERDICT_TYPEHASH, network, objection.author, objection.size, objection.root, objected, objection.said
            )
        );
        _requireFullNode(objection.author, statement, objection.signature);
        bytes calldata list = objection.list;
        for (uint256 i = 0; i + RUN <= list.length; i += RUN) {
            uint64 first = uint64(bytes8(list[i:i + 8]));
            if (first <= index && index - first < uint32(bytes4(list[i + 8:i + 12]))) return;
        }
        revert DoesNotObject(index);
    }

    function _requireFullNode(address author, bytes32 statement, bytes calldata signature) private view {
        bytes32 domain = keccak256(abi.encode(DOMAIN_TYPEHASH, keccak256("Hallmark"), keccak256("1"), block.chainid));
        address signer = ECDSA.recoverCalldata(MessageHashUtils.toTypedDataHash(domain, statement), signature);
        if (signer != author || !anchor.isSigner(author)) revert UnknownAuthor(author);
    }

    function _requireDue(uint64 from) private view {
        if (from == 0) revert NothingPending();
        if (block.timestamp < from) revert TooEarly(from);
    }
}
