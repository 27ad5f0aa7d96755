// Figures that are published: AWS's signing test suite (awslabs/aws-c-auth, tests/aws-signing-test-suite/v4)
// and the examples of the S3 documentation ("Signature Calculations for the Authorization Header").

import Bytes
import RequestSigning
import Testing

private struct Vector: CustomTestStringConvertible {
  let name: String
  let head: String
  let signature: String
  var fields = "host;x-amz-date"
  var testDescription: String { name }
}

@Suite("Published signatures")
struct PublishedVectorTests {
  private static let host = "Host:example.amazonaws.com"
  private static let unreserved =
    "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

  @Test(arguments: [
    Vector(
      name: "get-vanilla", head: "GET / HTTP/1.1\n\(host)",
      signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    Vector(
      name: "post-vanilla", head: "POST / HTTP/1.1\n\(host)",
      signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    Vector(
      name: "get-vanilla-query-order-key-case",
      head: "GET /?Param2=value2&Param1=value1 HTTP/1.1\n\(host)",
      signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    Vector(
      name: "get-vanilla-query-order-encoded",
      head: "GET /?Param-3=Value3&Param=Value2&%E1%88%B4=Value1 HTTP/1.1\n\(host)",
      signature: "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"),
    Vector(
      name: "get-vanilla-empty-query-key", head: "GET /?Param1=value1 HTTP/1.1\n\(host)",
      signature: "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
    Vector(
      name: "get-vanilla-utf8-query", head: "GET /?ሴ=bar HTTP/1.1\n\(host)",
      signature: "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
    Vector(
      name: "get-vanilla-query-unreserved",
      head: "GET /?\(unreserved)=\(unreserved) HTTP/1.1\n\(host)",
      signature: "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
    Vector(
      name: "get-unreserved", head: "GET /\(unreserved) HTTP/1.1\n\(host)",
      signature: "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
    Vector(
      name: "get-utf8", head: "GET /ሴ HTTP/1.1\n\(host)",
      signature: "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    Vector(
      name: "get-space-normalized", head: "GET /example space/ HTTP/1.1\n\(host)",
      signature: "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
    Vector(
      name: "get-slashes-normalized", head: "GET //example// HTTP/1.1\n\(host)",
      signature: "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
    Vector(
      name: "get-slash-pointless-dot-normalized", head: "GET /./example HTTP/1.1\n\(host)",
      signature: "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"),
    Vector(
      name: "get-relative-relative-normalized",
      head: "GET /example1/example2/../.. HTTP/1.1\n\(host)",
      signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    Vector(
      name: "get-header-key-duplicate",
      head: "GET / HTTP/1.1\n\(host)\nMy-Header1:value2\nMy-Header1:value2\nMy-Header1:value1",
      signature: "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
      fields: "host;my-header1;x-amz-date"),
    Vector(
      name: "get-header-value-order",
      head: """
        GET / HTTP/1.1\n\(host)
        My-Header1:value4\nMy-Header1:value1\nMy-Header1:value3\nMy-Header1:value2
        """,
      signature: "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
      fields: "host;my-header1;x-amz-date"),
    Vector(
      name: "get-header-value-trim",
      head: "GET / HTTP/1.1\n\(host)\nMy-Header1: value1\nMy-Header2: \"a   b   c\"",
      signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
      fields: "host;my-header1;my-header2;x-amz-date"),
  ])
  private func `the signing test suite`(vector: Vector) throws {
    let signer = try RequestSigner(region: "us-east-1", service: "service", signsAllFields: true)
    let signed = try signer.signed(vector.head, at: Signing.suiteTime, for: Signing.suite)
    #expect(signed.contains("x-amz-date: 20150830T123600Z\r\n"))
    #expect(
      signed.hasSuffix(
        "authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/"
          + "aws4_request, SignedHeaders=\(vector.fields), Signature=\(vector.signature)\r\n\r\n"),
      "\(signed)")
  }

  @Test func `the signing test suite's session token`() throws {
    let token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"
    let credentials = try #require(
      SigningCredentials(
        accessKey: "AKIDEXAMPLE", secretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        sessionToken: token))
    let signer = try RequestSigner(region: "us-east-1", service: "service", signsAllFields: true)
    let signed = try signer.signed(
      "GET / HTTP/1.1\n\(Self.host)", at: Signing.suiteTime, for: credentials)
    #expect(signed.contains("x-amz-security-token: \(token)\r\n"))
    #expect(
      signed.contains(
        "SignedHeaders=host;x-amz-date;x-amz-security-token, "
          + "Signature=07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8\r\n"))
  }

  @Test(arguments: [
    Vector(
      name: "GET Object", head: "GET /test.txt HTTP/1.1\nHost: BUCKET\nRange: bytes=0-9",
      signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
      fields: "host;range;x-amz-content-sha256;x-amz-date"),
    Vector(
      name: "GET Bucket Lifecycle", head: "GET /?lifecycle HTTP/1.1\nHost: BUCKET",
      signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
      fields: "host;x-amz-content-sha256;x-amz-date"),
    Vector(
      name: "List Objects", head: "GET /?max-keys=2&prefix=J HTTP/1.1\nHost: BUCKET",
      signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
      fields: "host;x-amz-content-sha256;x-amz-date"),
  ])
  private func `the examples of S3`(vector: Vector) throws {
    let signer = try RequestSigner(region: "us-east-1", service: "s3")
    let head = vector.head.replacing("BUCKET", with: "examplebucket.s3.amazonaws.com")
    let signed = try signer.signed(head, at: Signing.exampleTime, for: Signing.example)
    #expect(
      signed.hasSuffix(
        "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
          + "SignedHeaders=\(vector.fields), Signature=\(vector.signature)\r\n\r\n"), "\(signed)")
  }

  @Test func `the example of S3 that puts an object`() throws {
    let signer = try RequestSigner(region: "us-east-1", service: "s3", signsAllFields: true)
    let signed = try signer.signed(
      """
      PUT test$file.text HTTP/1.1
      Host: examplebucket.s3.amazonaws.com
      Date: Fri, 24 May 2013 00:00:00 GMT
      x-amz-storage-class: REDUCED_REDUNDANCY
      """.replacing("PUT test", with: "PUT /test"), at: Signing.exampleTime, for: Signing.example,
      content: .hash("44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"))
    #expect(signed.hasPrefix("PUT /test%24file.text HTTP/1.1\r\n"))
    #expect(
      signed.contains(
        "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd\r\n"))
  }
}
