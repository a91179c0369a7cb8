// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

/// @title Checkpoints of one Hallmark log, signed by a quorum of its full nodes
/// @notice Keeps (size, root) pairs that at least `threshold` distinct full nodes signed, never going back in size,
/// and checks that an entry is below one of them (RFC 6962, SHA-256).
/// @dev There is no owner, no upgrade and no way to change the signers: another set is another contract. Deployed by
/// CREATE2, its address commits to this code, the network, the origin, the signers and the threshold.
/// The EIP-712 domain has no verifying contract, because full nodes sign the same statement for every chain
/// contract of one chain id; `network` and `origin` inside the statement bind it to one log.
contract Anchor {
    /// @notice One anchored checkpoint. `blockNumber` and `timestamp` (seconds) are of the block that took it,
    /// `previous` is the size anchored before it (0: none).
    struct Checkpoint {
        bytes32 root;
        uint64 blockNumber;
        uint64 timestamp;
        uint64 previous;
    }

    /// @notice A checkpoint was anchored.
    event Anchored(uint64 indexed size, bytes32 indexed root, uint64 previous, address submitter);

    /// @notice The constructor's threshold is zero, over the number of signers, or not more than half of them.
    error BadThreshold(uint256 threshold, uint256 signers);
    /// @notice A signer is zero or named twice.
    error BadSigner(address signer);
    /// @notice The log is empty at size 0; there is nothing to anchor.
    error EmptyCheckpoint();
    /// @notice A checkpoint of this or a larger size is anchored already.
    error NotLarger(uint64 size, uint64 latest);
    /// @notice This size is anchored with another root: the quorum signed two histories.
    error ConflictingRoot(uint64 size, bytes32 anchored, bytes32 submitted);
    /// @notice Fewer signatures than the threshold.
    error TooFewSignatures(uint256 signatures, uint256 threshold);
    /// @notice The recovered address is not one of the signers.
    error UnknownSigner(address signer);
    /// @notice Signatures must come in ascending order of their signers' addresses, so that none counts twice.
    error SignersNotAscending(address before, address next);
    /// @notice No checkpoint of this size is anchored.
    error UnknownCheckpoint(uint64 size);
    /// @notice The leaf is not at this index below this checkpoint.
    error NotIncluded(uint64 index, uint64 size);

    /// @notice EIP-712 type of what full nodes sign.
    bytes32 public constant CHECKPOINT_TYPEHASH =
        keccak256("AnchoredCheckpoint(bytes32 network,bytes32 origin,uint64 size,bytes32 root)");
    bytes32 private constant DOMAIN_TYPEHASH = keccak256("EIP712Domain(string name,string version,uint256 chainId)");

    /// @notice The network's id.
    bytes32 public immutable network;
    /// @notice SHA-256 of the log's origin text.
    bytes32 public immutable origin;
    /// @notice How many distinct signers a checkpoint needs.
    uint256 public immutable threshold;
    /// @notice Size of the newest anchored checkpoint; 0 before the first.
    uint64 public latestSize;
    /// @notice True for a full node whose signature counts.
    mapping(address signer => bool) public isSigner;

    mapping(uint64 size => Checkpoint) private _checkpoints;
    address[] private _signers;

    /// @param network_ id of the network
    /// @param origin_ SHA-256 of the log's origin text
    /// @param signers_ addresses of the full nodes, distinct
    /// @param threshold_ quorum; more than half, so that two quorums always share a signer
    constructor(bytes32 network_, bytes32 origin_, address[] memory signers_, uint256 threshold_) {
        if (threshold_ > signers_.length || 2 * threshold_ <= signers_.length) {
            revert BadThreshold(threshold_, signers_.length);
        }
        for (uint256 i = 0; i < signers_.length; ++i) {
            if (signers_[i] == address(0) || isSigner[signers_[i]]) revert BadSigner(signers_[i]);
            isSigner[signers_[i]] = true;
        }
        network = network_;
        origin = origin_;
        threshold = threshold_;
        _signers = signers_;
    }

    /// @notice Anchor a checkpoint. Anyone may submit; only the signatures count.
    /// @param size number of entries, larger than every size anchored before
    /// @param root RFC 6962 root over them
    /// @param signatures r || s || v, 65 bytes each, ascending by signer, at least `threshold`, all of them valid
    function submit(uint64 size, bytes32 root, bytes[] calldata signatures) external {
        uint64 before = latestSize;
        if (size == 0) revert EmptyCheckpoint();
        if (size <= before) {
            bytes32 anchored = _checkpoints[size].root;
            if (_checkpoints[size].blockNumber != 0 && anchored != root) revert ConflictingRoot(size, anchored, root);
            revert NotLarger(size, before);
        }
        _requireQuorum(checkpointDigest(size, root), signatures);
        latestSize = size;
        _checkpoints[size] = Checkpoint(root, uint64(block.number), uint64(block.timestamp), before);
        emit Anchored(size, root, before, msg.sender);
    }

    /// @notice The EIP-712 digest that full nodes sign for a checkpoint.
    function checkpointDigest(uint64 size, bytes32 root) public view returns (bytes32) {
        bytes32 domain =
            keccak256(abi.encode(DOMAIN_TYPEHASH, keccak256("Hallmark"), keccak256("1"), block.chainid));
        bytes32 statement = keccak256(abi.encode(CHECKPOINT_TYPEHASH, network, origin, size, root));
        return MessageHashUtils.toTypedDataHash(domain, statement);
    }

    /// @notice The newest anchored checkpoint; size 0 and zeros before the first.
    function latest() external view returns (uint64 size, Checkpoint memory checkpoint) {
        return (latestSize, _checkpoints[latestSize]);
    }

    /// @notice The checkpoint of exactly this size. Reverts with UnknownCheckpoint.
    function checkpointAt(uint64 size) public view returns (Checkpoint memory checkpoint) {
        checkpoint = _checkpoints[size];
        if (checkpoint.blockNumber == 0) revert UnknownCheckpoint(size);
    }

    /// @notice The root anchored for exactly this size. Reverts with UnknownCheckpoint.
    function rootAt(uint64 size) external view returns (bytes32) {
        return checkpointAt(size).root;
    }

    /// @notice The full nodes whose signatures count, as given at deployment.
    function signers() external view returns (address[] memory) {
        return _signers;
    }

    /// @notice RFC 6962 leaf hash: SHA-256(0x00 || leaf).
    function leafHash(bytes calldata leaf) external pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x00), leaf));
    }

    /// @notice Check that an entry is in the log below an anchored checkpoint (RFC 9162 section 2.1.3.2).
    /// Reverts with UnknownCheckpoint or NotIncluded; returns the checkpoint otherwise.
    /// @param leaf RFC 6962 leaf hash of the entry, SHA-256(0x00 || leaf bytes)
    /// @param index the entry's index
    /// @param size the anchored checkpoint's size
    /// @param proof the audit path, from the leaf's sibling up
    function verifyInclusion(bytes32 leaf, uint64 index, uint64 size, bytes32[] calldata proof)
        external
        view
        returns (Checkpoint memory checkpoint)
    {
        checkpoint = checkpointAt(size);
        if (index >= size) revert NotIncluded(index, size);
        uint256 fn = index;
        uint256 sn = size - 1;
        bytes32 hash = leaf;
        for (uint256 i = 0; i < proof.length; ++i) {
            if (sn == 0) revert NotIncluded(index, size);
            if (fn & 1 == 1 || fn == sn) {
                hash = _hashNode(proof[i], hash);
                while (fn & 1 == 0 && fn != 0) {
                    fn >>= 1;
                    sn >>= 1;
                }
            } else {
                hash = _hashNode(hash, proof[i]);
            }
            fn >>= 1;
            sn >>= 1;
        }
        if (sn != 0 || hash != checkpoint.root) revert NotIncluded(index, size);
    }

    /// @dev Each signature must be valid: extra invalid ones are refused, not skipped.
    function _requireQuorum(bytes32 digest, bytes[] calldata signatures) private view {
        if (signatures.length < threshold) revert TooFewSignatures(signatures.length, threshold);
        address before = address(0);
        for (uint256 i = 0; i < signatures.length; ++i) {
            address signer = ECDSA.recoverCalldata(digest, signatures[i]);
            if (signer <= before) revert SignersNotAscending(before, signer);
            if (!isSigner[signer]) revert UnknownSigner(signer);
            before = signer;
        }
    }

    /// @dev SHA-256(0x01 || left || right) by the precompile at address 2, in scratch memory: abi.encodePacked would
    /// allocate on every level.
    function _hashNode(bytes32 left, bytes32 right) private view returns (bytes32 node) {
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore8(at, 1)
            mstore(add(at, 0x01), left)
            mstore(add(at, 0x21), right)
            if iszero(staticcall(gas(), 2, at, 0x41, 0, 0x20)) { revert(0, 0) }
            node := mload(0)
        }
    }
}
