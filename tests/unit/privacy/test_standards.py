"""The published examples: RFC 9180 A.1 and A.2, RFC 9458 A, RFC 9292 5, and X-Wing's test vectors."""

from __future__ import annotations

import pytest

from hallmark.crypto import hpke
from hallmark.privacy import binary_http, ohttp

INFO = b"Ode on a Grecian Urn"
TEXT = b"Beauty is truth, truth beauty"
NUMBERS = (0, 1, 2, 4, 255, 256)
EXPORTED = (b"", b"\0", b"TestContext")
APPENDIX_A1 = (
    hpke.AEAD_AES128,
    "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8",
    "52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736",
    "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431",
    (
        "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a",
        "af2d7e9ac9ae7e270f46ba1f975be53c09f8d875bdc8535458c2494e8a6eab251c03d0c22a56b8ca42c2063b84",
        "498dfcabd92e8acedc281e85af1cb4e3e31c7dc394a1ca20e173cb72516491588d96a19ad4a683518973dcc180",
        "583bd32bc67a5994bb8ceaca813d369bca7b2a42408cddef5e22f880b631215a09fc0012bc69fccaa251c0246d",
        "7175db9717964058640a3a11fb9007941a5d1757fda1a6935c805c21af32505bf106deefec4a49ac38d71c9e0a",
        "957f9800542b0b8891badb026d79cc54597cb2d225b54c00c5238c25d05c30e3fbeda97d2e0e1aba483a2df9f2",
    ),
    (
        "3853fe2b4035195a573ffc53856e77058e15d9ea064de3e59f4961d0095250ee",
        "2e8f0b54673c7029649d4eb9d5e33bf1872cf76d623ff164ac185da9e88c21a5",
        "e9e43065102c3836401bed8c3c3c75ae46be1639869391d62c61f1ec7af54931",
    ),
)
APPENDIX_A2 = (
    hpke.AEAD_CHACHA20,
    "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb",
    "f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600",
    "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a",
    (
        "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
        "6b53c051e4199c518de79594e1c4ab18b96f081549d45ce015be002090bb119e85285337cc95ba5f59992dc98c",
        "71146bd6795ccc9c49ce25dda112a48f202ad220559502cef1f34271e0cb4b02b4f10ecac6f48c32f878fae86b",
        "63357a2aa291f5a4e5f27db6baa2af8cf77427c7c1a909e0b37214dd47db122bb153495ff0b02e9e54a50dbe16",
        "18ab939d63ddec9f6ac2b60d61d36a7375d2070c9b683861110757062c52b8880a5f6b3936da9cd6c23ef2a95c",
        "7a4a13e9ef23978e2c520fd4d2e757514ae160cd0cd05e556ef692370ca53076214c0c40d4c728d6ed9e727a5b",
    ),
    (
        "4bbd6243b8bb54cec311fac9df81841b6fd61f56538a775e7c80a9f40160606e",
        "8c1df14732580e5501b00f82b10a1647b40713191b7c1240ac80e2b68808ba69",
        "5acb09211139c43b3090489a9da433e8a30ee7188ba8b0a9a1ccf0c229283e53",
    ),
)
XWING = (
    (
        "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26",
        "e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14b2b5b19cfc3d",
        "eff389b27dce59844570216223593d4ba32d9abac8cd049040ef6534",
        (
            "b83aa828d4d62b9a83ceffe1d3d3bb1ef31264643c070c5798927e41fb07914a273f8f96e7826cd5375a283d7d"
            "a885304c5de0516a0f0654243dc5b97f8bfeb831f68251219aabdd723bc6512041acbaef8af44265524942b902"
            "e68ffd23221cda70b1b55d776a92d1143ea3a0c475f63ee6890157c7116dae3f62bf72f60acd2bb8cc31ce2ba0"
            "de364f52b8ed38c79d719715963a5dd3842d8e8b43ab704e4759b5327bf027c63c8fa857c4908d5a8a7b88ac7f"
            "2be394d93c3706ddd4e698cc6ce370101f4d0213254238b4a2e8821b6e414a1cf20f6c1244b699046f5a01caa0"
            "a1a55516300b40d2048c77cc73afba79afeea9d2c0118bdf2adb8870dc328c5516cc45b1a2058141039e2c90a1"
            "10a9e16b318dfb53bd49a126d6b73f215787517b8917cc01cabd107d06859854ee8b4f9861c226d3764c87339a"
            "b16c3667d2f49384e55456dd40414b70a6af841585f4c90c68725d57704ee8ee7ce6e2f9be582dbee985e038ff"
            "c346ebfb4e22158b6c84374a9ab4a44e1f91de5aac5197f89bc5e5442f51f9a5937b102ba3beaebf6e1c58380a"
            "4a5fedce4a4e5026f88f528f59ffd2db41752b3a3d90efabe463899b7d40870c530c8841e8712b733668ed033a"
            "dbfafb2d49d37a44d4064e5863eb0af0a08d47b3cc888373bc05f7a33b841bc2587c57eb69554e8a3767b75069"
            "17b6b70498727f16eac1a36ec8d8cfaf751549f2277db277e8a55a9a5106b23a0206b4721fa9b3048552c5bd5b"
            "594d6e247f38c18c591aea7f56249c72ce7b117afcc3a8621582f9cf71787e183dee09367976e98409ad9217a4"
            "97df888042384d7707a6b78f5f7fb8409e3b535175373461b776002d799cbad62860be70573ecbe13b246e0da7"
            "e93a52168e0fb6a9756b895ef7f0147a0dc81bfa644b088a9228160c0f9acf1379a2941cd28c06ebc80e44e17a"
            "a2f8177010afd78a97ce0868d1629ebb294c5151812c583daeb88685220f4da9118112e07041fcc24d5564a99f"
            "dbde28869fe0722387d7a9a4d16e1cc8555917e09944aa5ebaaaec2cf62693afad42a3f518fce67d273cc6c9fb"
            "5472b380e8573ec7de06a3ba2fd5f931d725b493026cb0acbd3fe62d00e4c790d965d7a03a3c0b4222ba8c2a9a"
            "16e2ac658f572ae0e746eafc4feba023576f08942278a041fb82a70a595d5bacbf297ce2029898a71e5c3b0d1c"
            "6228b485b1ade509b35fbca7eca97b2132e7cb6bc465375146b7dceac969308ac0c2ac89e7863eb8943015b243"
            "14cafb9c7c0e85fe543d56658c213632599efabfc1ec49dd8c88547bb2cc40c9d38cbd3099b4547840560531d0"
            "188cd1e9c23a0ebee0a03d5577d66b1d2bcb4baaf21cc7fef1e03806ca96299df0dfbc56e1b2b43e4fc20c37f8"
            "34c4af62127e7dae86c3c25a2f696ac8b589dec71d595bfbe94b5ed4bc07d800b330796fda89edb77be0294136"
            "139354eb8cd37591578f9c600dd9be8ec6219fdd507adf3397ed4d68707b8d13b24ce4cd8fb22851bfe9d63240"
            "7f31ed6f7cb1600de56f17576740ce2a32fc5145030145cfb97e63e0e41d354274a079d3e6fb2e15"
        ),
        "d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384",
    ),
    (
        "badfd6dfaac359a5efbb7bcc4b59d538df9a04302e10c8bc1cbf1a0b3a5120ea",
        "0333285fa253661508c9fb444852caa4061636cb060e69943b431400134ae1fbc0228724",
        "cbb48fd4c562a576549f85b528c953926d96ea8a160b8843f1c89c62",
        (
            "c93beb22326705699bbc3d1d0aa6339be7a405debe61a7c337e1a91453c097a6f77c130639d1aaeb193175f1a9"
            "87aa1fd789a63c9cd487ebd6965f5d8389c8d7c8cfacbba4b44d2fbe0ae84de9e96fb11215d9b76acd51887b75"
            "2329c1a3e0468ccc49392c1e0f1aad61a73c10831e60a9798cb2e7ec07596b5803db3e243ecbb94166feade0c9"
            "197378700f8eb65a43502bbac4605992e2de2b906ab30ba401d7e1ff3c98f42cfc4b30b974d3316f331461ac05"
            "f43e0db7b41d3da702a4f567b6ee7295199c7be92f6b4a47e7307d34278e03c872fb48647c446a64a3937dccd7"
            "c6d8de4d34b9dea45a0b065ef15b9e94d1b6df6dca7174d9bc9d14c6225e3a78a58785c3fe4e2fe6a0706f3365"
            "389e4258fbb61ecf1a1957715982b3f1844424e03acd83da7eee50573f6cd3ff396841e9a00ad679da92274129"
            "da277833d0524674feea09a98d25b888616f338412d8e65e151e65736c8c6fb448c9260fa20e7b2712148bcd3a"
            "0853865f50c1fc9e4f201aee3757120e034fd509d954b7a749ff776561382c4cb64cebcbb6aa82d04cd5c2b403"
            "95ecaf231bde8334ecfd955d09efa8c6e7935b1cb0298fb8b6740be4593360eed5f129d59d98822a6cea37c576"
            "74e919e84d6b90f695fca58e7d29092bd70f7c97c6dfb021b9f87216a6271d8b144a364d03b6bf084f972dc598"
            "00b14a2c008bbd0992b5b82801020978f2bdddb3ca3367d876cffb3548dab695a29882cae2eb5ba7c847c3c71b"
            "d0150fa9c33aac8e6240e0c269b8e295ddb7b77e9c17bd310be65e28c0802136d086777be5652d6f1ac879d326"
            "3e9c712d1af736eac048fe848a577d6afaea1428dc71db8c430edd7b584ae6e6aeaf7257aff0fd8fe25c30840e"
            "30ccfa1d95118ef0f6657367e9070f3d97a2e9a7bae19957bd707b00e31b6b0ebb9d7df4bd22e44c060830a194"
            "b5b8288353255b52954ff5905ab2b126d9aa049e44599368c27d6cb033eae5182c2e1504ee4e3745f51488997b"
            "8f958f0209064f6f44a7e4de5226d5594d1ad9b42ac59a2d100a2f190df873a2e141552f33c923b4c927e8747c"
            "6f830c441a8bd3c5b371f6b3ab8103ebcfb18543aefc1beb6f776bbfd5344779f4aa23daaf395f69ec31dc046b"
            "491f0e5cc9c651dfc306bd8f2105be7bc7a4f4e21957f87278c771528a8740a92e2daefa76a3525f1fae17ec43"
            "62a2700988001d860011d6ca3a95f79a0205bcf634cef373a8ea273ff0f4250eb8617d0fb92102a6aa09cf0c3e"
            "e2cad1ad96438c8e4dfd6ee0fcc85833c3103dd6c1600cd305bc2df4cda89b55ca237a3f9c3f82390074ff3082"
            "5fc750130ebaf13d0cf7556d2c52a98a4bad39ca5d44aaadeaef775c695e64d06e966acfcd552a14e2df6c63ae"
            "541f0fa88fc48263089685704506a21a03856ce65d4f06d54f3157eeabd62491cb4ac7bf029e79f9fbd4c77e2a"
            "3588790c710e611da8b2040c76a61507a8020758dcc30894ad018fef98e401cc54106e20d94bd544a8f0e1fd05"
            "00342d123f618aa8c91bdf6e0e03200693c9651e469aee6f91c98bea4127ae66312f4ae3ea155b67"
        ),
        "f2e86241c64d60f6649fbc6c5b7d17180b780a3f34355e64a85749949c45f150",
    ),
)
"""Seed, begin and end of the public key, ciphertext, shared secret (draft-connolly-cfrg-xwing-kem-09, C)."""
CONFIGURATION = "01002031e1f05a740102115220e9af918f738674aec95f54db6e04eb705aae8e79815500080001000100010003"
SEALED_REQUEST = (
    "010020000100014b28f881333e7c164ffc499ad9796f877f4e1051ee6d31bad19dec96c208b4726374e469135906992e1268c5"
    "94d2a10c695d858c40a026e7965e7d86b83dd440b2c0185204b4d63525"
)
SEALED_RESPONSE = "c789e7151fcba46158ca84b04464910d86f9013e404feea014e7be4a441f234f857fbd"
KNOWN = (
    "0003474554056874747073000a2f68656c6c6f2e747874406c0a757365722d6167656e74346375726c2f372e31362e33206c69"
    "626375726c2f372e31362e33204f70656e53534c2f302e392e376c207a6c69622f312e322e3304686f73740f7777772e657861"
    "6d706c652e636f6d0f6163636570742d6c616e677561676506656e2c206d690000"
)
INDETERMINATE = (
    "0203474554056874747073000a2f68656c6c6f2e7478740a757365722d6167656e74346375726c2f372e31362e33206c696263"
    "75726c2f372e31362e33204f70656e53534c2f302e392e376c207a6c69622f312e322e3304686f73740f7777772e6578616d70"
    "6c652e636f6d0f6163636570742d6c616e677561676506656e2c206d6900000000000000000000000000"
)
INTERIM = (
    "0340660772756e6e696e670a22736c65657020313522004067046c696e6b233c2f7374796c652e6373733e3b2072656c3d70"
    "72656c6f61643b2061733d7374796c65046c696e6b243c2f7363726970742e6a733e3b2072656c3d7072656c6f61643b2061"
    "733d7363726970740040c804646174651d4d6f6e2c203237204a756c20323030392031323a32383a353320474d5406736572"
    "766572064170616368650d6c6173742d6d6f6469666965641d5765642c203232204a756c20323030392031393a31353a3536"
    "20474d5404657461671422333461613338372d642d3135363865623030220d6163636570742d72616e676573056279746573"
    "0e636f6e74656e742d6c656e67746802353104766172790f4163636570742d456e636f64696e670c636f6e74656e742d7479"
    "70650a746578742f706c61696e003348656c6c6f20576f726c6421204d7920636f6e74656e7420696e636c75646573206120"
    "747261696c696e672043524c462e0d0a0000"
)
CHUNKED = "0140c8001d5468697320636f6e74656e7420636f6e7461696e732043524c462e0d0a0d07747261696c65720474657874"


@pytest.mark.parametrize("appendix", [APPENDIX_A1, APPENDIX_A2], ids=["A.1", "A.2"])
def test_hpke(appendix: tuple[int, str, str, str, tuple[str, ...], tuple[str, ...]]) -> None:
    """RFC 9180: both sides, messages 0 to 256 in order, exported secrets."""
    aead, secret, ephemeral, encapsulated, sealed, exported = appendix
    key = hpke.X25519Key(bytes.fromhex(secret))
    enc, sender = hpke.setup_sender(
        hpke.KEM_X25519, key.public, aead, INFO, ephemeral=bytes.fromhex(ephemeral)
    )
    receiver = hpke.setup_receiver(key, enc, aead, INFO)
    assert enc.hex() == encapsulated
    found = []
    for number in range(257):
        aad = b"Count-%d" % number
        found.append(sender.seal(TEXT, aad))
        assert receiver.open(found[-1], aad) == TEXT
    assert tuple(found[number].hex() for number in NUMBERS) == sealed
    assert tuple(receiver.export(context, 32).hex() for context in EXPORTED) == exported
    assert tuple(sender.export(context, 32).hex() for context in EXPORTED) == exported


@pytest.mark.parametrize("vector", XWING)
def test_xwing(vector: tuple[str, str, str, str, str]) -> None:
    """The public key that a seed gives, and what the ciphertext holds."""
    seed, begins, ends, ciphertext, shared = vector
    key = hpke.XWingKey(bytes.fromhex(seed))
    assert key.public.hex().startswith(begins)
    assert key.public.hex().endswith(ends)
    assert key.decapsulate(bytes.fromhex(ciphertext)).hex() == shared


def test_oblivious_http() -> None:
    """RFC 9458, appendix A: from the key configuration to the opened response."""
    configuration = ohttp.KeyConfiguration.decode(bytes.fromhex(CONFIGURATION))
    assert configuration is not None
    assert configuration.encode().hex() == CONFIGURATION
    ephemeral = bytes.fromhex("bc51d5e930bda26589890ac7032f70ad12e4ecb37abb1b65b1256c9c48999c73")
    client = ohttp.ClientRequest(configuration, chunked=False, ephemeral=ephemeral)
    request = bytes.fromhex("00034745540568747470730b6578616d706c652e636f6d012f")
    assert (client.header + client.seal(request, final=True)).hex() == SEALED_REQUEST
    secret = bytes.fromhex("3c168975674b2fa8e465970b79c8dcf09f1c741626480bd4c6162fc5b6a98e1a")
    server = ohttp.ServerRequest({1: hpke.X25519Key(secret)}, chunked=False)
    assert [*server.feed(bytes.fromhex(SEALED_REQUEST)), *server.end()] == [request]
    assert binary_http.decode_request(request).authority == b"example.com"
    writer = server.response(lambda size: bytes.fromhex(SEALED_RESPONSE)[:size])
    assert (writer.header + writer.seal(bytes.fromhex("0140c8"), final=True)).hex() == SEALED_RESPONSE
    reader = client.response()
    opened = b"".join([*reader.feed(bytes.fromhex(SEALED_RESPONSE)), *reader.end()])
    assert binary_http.decode_response(opened) == binary_http.Response(200)


def test_binary_requests() -> None:
    """RFC 9292, section 5.1: one request in both forms, padded and cut short, ours byte for byte."""
    fields = (
        (b"user-agent", b"curl/7.16.3 libcurl/7.16.3 OpenSSL/0.9.7l zlib/1.2.3"),
        (b"host", b"www.example.com"),
        (b"accept-language", b"en, mi"),
    )
    request = binary_http.Request(b"GET", b"https", b"", b"/hello.txt", fields)
    known, indeterminate = bytes.fromhex(KNOWN), bytes.fromhex(INDETERMINATE)
    assert binary_http.encode_request(request) == known
    for cut in range(3):
        assert binary_http.decode_request(known[: len(known) - cut]) == request
    for cut in range(13):
        assert binary_http.decode_request(indeterminate[: len(indeterminate) - cut]) == request


def test_binary_responses() -> None:
    """RFC 9292, section 5.2: interim responses of indeterminate length, and one of known length."""
    found = binary_http.decode_response(bytes.fromhex(INTERIM))
    assert (found.status, len(found.headers), found.headers[1]) == (200, 8, (b"server", b"Apache"))
    assert found.content == b"Hello World! My content includes a trailing CRLF.\r\n"
    response = binary_http.Response(200, (), b"This content contains CRLF.\r\n", ((b"trailer", b"text"),))
    assert binary_http.decode_response(bytes.fromhex(CHUNKED)) == response
    assert binary_http.encode_response(response).hex() == CHUNKED
