// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @notice Speaks as vaults did before rows named payers: accounts have numbers, and a settlement's event has the
/// same name and topic as now, with rows of 16 bytes. Two of them are as long as one of today's.
contract EarlierVault {
    bytes32 public immutable network;
    IERC20 public immutable asset;
    uint256 public constant threshold = 1;
    uint256 public constant leaseTerm = 300;
    uint256 public constant settleWindow = 300;
    uint256 public constant withdrawDelay = 900;
    mapping(address => uint32) public accountOf;
    uint32 private _last;

    event Settled(
        address indexed enclave, address indexed payee, uint64 sequence, uint256 total, bytes32 receiptsRoot, bytes rows
    );

    constructor(bytes32 network_, IERC20 asset_) {
        network = network_;
        asset = asset_;
    }

    function signers() external pure returns (address[] memory) {
        return new address[](1);
    }

    function leaseOf(address, uint32) external pure returns (uint96, uint96, uint64) {
        return (7, 7, 7);
    }

    function deposit(address payer, uint256 amount) external {
        if (accountOf[payer] == 0) accountOf[payer] = ++_last;
        require(asset.transferFrom(msg.sender, address(this), amount));
    }

    function settle(address enclave, address payee) external {
        bytes memory rows = abi.encodePacked(uint32(1), uint96(5), uint32(2), uint96(6));
        emit Settled(enclave, payee, 1, 11, bytes32(0), rows);
    }
}
