// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title Development money
/// @notice An ERC-20 without any value, with EIP-2612 and EIP-3009 as stablecoins have them, and a faucet for everybody. It deploys
/// and pours on the development chain only.
/// @dev Signatures come as v, r, s and as bytes, which contract wallets (ERC-1271) may sign as well.
contract DevToken is ERC20Permit, ERC3009 {
    /// @notice This is not the development chain.
    error NotTheDevelopmentChain(uint256 chainId);
    /// @notice The faucet gives at most FAUCET_LIMIT at once.
    error TooMuch(uint256 amount);

    /// @notice EIP-155 id of the development chain.
    uint256 public constant DEVELOPMENT_CHAIN = 31337;
    /// @notice The most that one call of the faucet gives: a million.
    uint256 public constant FAUCET_LIMIT = 1_000_000_000_000;

    constructor() ERC20("Hallmark Development Money", "DEV") ERC20Permit("Hallmark Development Money") {
        _requireDevelopmentChain();
    }

    /// @notice Make `amount` new atomic units for `to`. Anyone may call it.
    function faucet(address to, uint256 amount) external {
        _requireDevelopmentChain();
        if (amount > FAUCET_LIMIT) revert TooMuch(amount);
        _mint(to, amount);
    }

    /// @notice Six, as USDC has.
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// @notice Version of the EIP-712 domain.
    function version() external pure returns (string memory) {
        return "1";
    }

    /// @notice `transferWithAuthorization` with the signature as bytes.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        _requireSigned(
            from,
            keccak256(
                abi.encode(TRANSFER_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce)
            ),
            signature
        );
        _transferWithAuthorization(from, to, value, validAfter, validBefore, nonce);
    }

    /// @notice `receiveWithAuthorization` with the signature as bytes.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        _requireSigned(
            from,
            keccak256(
                abi.encode(RECEIVE_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce)
            ),
            signature
        );
        if (to != msg.sender) revert ERC20InvalidReceiver(to);
        _transferWithAuthorization(from, to, value, validAfter, validBefore, nonce);
    }

    /// @notice `cancelAuthorization` with the signature as bytes.
    function cancelAuthorization(address authorizer, bytes32 nonce, bytes calldata signature) external {
        _requireSigned(authorizer, keccak256(abi.encode(CANCEL_AUTHORIZATION_TYPEHASH, authorizer, nonce)), signature);
        _cancelAuthorization(authorizer, nonce);
    }

    function _requireSigned(address signer, bytes32 hashed, bytes calldata signature) private view {
        if (!SignatureChecker.isValidSignatureNowCalldata(signer, _hashTypedDataV4(hashed), signature)) {
            revert ERC3009InvalidSignature();
        }
    }

    function _requireDevelopmentChain() private view {
        if (block.chainid != DEVELOPMENT_CHAIN) revert NotTheDevelopmentChain(block.chainid);
    }
}
