// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title Statements that a quorum of fixed keys signs
/// @dev There is no way to change the keys: another set is another contract.
abstract contract Quorum {
    /// @notice The constructor's threshold is zero, over the number of signers, or not more than half of them.
    error BadThreshold(uint256 threshold, uint256 signers);
    /// @notice A signer is zero or named twice.
    error BadSigner(address signer);
    /// @notice Fewer signatures than the threshold.
    error TooFewSignatures(uint256 signatures, uint256 threshold);
    /// @notice The recovered address is not one of the signers.
    error UnknownSigner(address signer);
    /// @notice Signatures must come in ascending order of their signers' addresses, so that none counts twice.
    error SignersNotAscending(address before, address next);

    /// @notice How many distinct signers a statement needs.
    uint256 public immutable threshold;
    /// @notice True for a key whose signature counts.
    mapping(address signer => bool) public isSigner;
    address[] private _signers;

    /// @param signers_ addresses of the authority's keys, distinct
    /// @param threshold_ quorum; more than half, so that two quorums always share a signer
    constructor(address[] memory signers_, uint256 threshold_) {
        if (threshold_ > signers_.length || 2 * threshold_ <= signers_.length) {
            revert BadThreshold(threshold_, signers_.length);
        }
        for (uint256 i = 0; i < signers_.length; ++i) {
            if (signers_[i] == address(0) || isSigner[signers_[i]]) revert BadSigner(signers_[i]);
            isSigner[signers_[i]] = true;
        }
        threshold = threshold_;
        _signers = signers_;
    }

    /// @notice The keys whose signatures count, as given at deployment.
    function signers() external view returns (address[] memory) {
        return _signers;
    }

    /// @dev Each signature must be valid: extra invalid ones are refused, not skipped.
    function _requireQuorum(bytes32 digest, bytes[] calldata signatures) internal view {
        if (signatures.length < threshold) revert TooFewSignatures(signatures.length, threshold);
        address before = address(0);
        for (uint256 i = 0; i < signatures.length; ++i) {
            address signer = ECDSA.recoverCalldata(digest, signatures[i]);
            if (signer <= before) revert SignersNotAscending(before, signer);
            if (!isSigner[signer]) revert UnknownSigner(signer);
            before = signer;
        }
    }
}
