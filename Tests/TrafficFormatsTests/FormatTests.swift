import Bytes
import Testing
import TrafficFormats

private let combined = """
  203.0.113.9 - anna [10/Jul/2026:12:34:56 +0200] "GET /a?b=c HTTP/1.1" 200 1024 "https://x/" "curl/8 \\"x\\""
  2001:db8::1 - - [10/Jul/2026:10:34:57 +0000] "POST http://shop.example:8080/cart HTTP/2.0" 302 - "-" "-"

  """

@Suite("Formats of recordings")
struct FormatTests {
  @Test func `combined lines`() {
    let reading = Reading(combined)
    #expect(reading.reader.format == .log(.combined))
    #expect(reading.reader.badCount == 0)
    var first = Seen("/a?b=c")
    first.time = 1_783_679_696_000_000_000
    first.client = "203.0.113.9"
    first.user = "anna"
    first.status = 200
    first.responseBytes = 1024
    first.fields = ["referer: https://x/", "user-agent: curl/8 \"x\""]
    var second = Seen("/cart")
    second.time = 1_783_679_697_000_000_000
    second.client = "2001:db8::1"
    second.method = "POST"
    second.scheme = "http"
    second.host = "shop.example:8080"
    second.status = 302
    #expect(reading.records == [first, second])
  }

  @Test func `common lines, without a version too`() {
    let reading = Reading(
      """
      unicomp6.unicomp.net - - [01/Jul/1995:00:00:06 -0400] "GET /shuttle/ HTTP/1.0" 200 3985
      a - - [01/Jul/1995:00:00:06 -0400] "GET /a b" 200 1
      """)
    #expect(reading.records.map(\.target) == ["/shuttle/", "/a b"])
    #expect(reading.records.map(\.client) == ["unicomp6.unicomp.net", "a"])
    #expect(reading.records[0].time == 804_571_206_000_000_000)
  }

  @Test func `Weir's own lines`() {
    let reading = Reading(
      #"""
      {"time":"2026-07-01T12:34:56.789Z","client":"198.51.100.7","client_port":5123,"method":"PUT","host":"example.com","target":"/ü\n\"","protocol":"HTTP/1.1","status":201,"bytes_sent":10,"bytes_received":77,"duration_us":1500,"cache":"miss","route":"r","user_agent":"a\\b","x":"y"}
      {"time":"2026-07-01T12:34:57.000Z","client":"::1","method":"GET","host":"a","target":"/","status":200,"bytes_sent":0,"bytes_received":0,"duration_us":1,"fields":{"Accept":"*/*","Host":"b"},"cut":true}
      """#)
    #expect(reading.reader.format == .json)
    var first = Seen("/ü\n\"")
    first.time = 1_782_909_296_789_000_000
    first.client = "198.51.100.7"
    first.method = "PUT"
    first.host = "example.com"
    first.status = 201
    first.responseBytes = 10
    first.requestBytes = 77
    first.duration = 1_500_000
    first.fields = ["user-agent: a\\b"]
    #expect(reading.records.first == first)
    #expect(reading.records.last?.host == "b")
    #expect(reading.records.last?.fields == ["Accept: */*"])
  }

  @Test func `a request that took hours is one`() {
    // A tunnel that stood for three hours, and an answer that came for longer than there are numbers.
    let reading = Reading(
      #"""
      {"target":"/a","duration_us":10800000000}
      {"target":"/b","duration_us":999999999999999999}
      {"target":"/c","duration_ms":12.5}
      """#)
    #expect(reading.records.map(\.target) == ["/a", "/c"])
    #expect(reading.records.map(\.duration) == [10_800_000_000_000, 12_500_000])
    #expect(reading.reader.badLines.map(\.reason) == ["a number is not one"])
  }

  @Test(
    arguments: [
      ("1782909296", 1_782_909_296_000_000_000), ("1782909296789", 1_782_909_296_789_000_000),
      ("1782909296789123", 1_782_909_296_789_123_000),
      ("1782909296789123456", 1_782_909_296_789_123_456), ("12.5", 12_500_000_000),
      ("9999999999", nil), ("99999999999999", nil), ("99999999999999999", nil),
      ("9999999999999999999", nil), ("-1", nil), ("1e9", nil),
    ] as [(String, Int64?)])
  func `times are told apart by their size, and none is too large`(text: String, time: Int64?) {
    let reading = Reading("\(text) key 1\n", format: .columns([.time, .key, .responseBytes]))
    #expect(reading.records.first?.time == time)
    #expect(reading.reader.badLines.map(\.reason) == (time == nil ? ["the time is not one"] : []))
  }

  @Test func `lines of JSON with nginx's names`() {
    let reading = Reading(
      #"{"msec":"1782909296.789","remote_addr":"::1","request":"GET /a HTTP/1.1","http_x_a":"b"}"#)
    #expect(reading.records.first?.time == 1_782_909_296_789_000_000)
    #expect(reading.records.first?.fields == ["x-a: b"])
  }

  @Test func `a format of nginx's`() throws {
    let format = try LogFormat(
      #"$host $remote_addr [$time_iso8601] "$request" $status $body_bytes_sent $request_time "${http_cookie}x" $upstream_addr"#
    )
    let reading = Reading(
      #"a.example 10.0.0.1 [2026-07-01T14:34:56+02:00] "GET /\x22\xC3\xBC HTTP/1.1" 200 5 0.250 "k=vx" 10.1.1.1:80, 10.1.1.2:80"#,
      format: .log(format))
    #expect(reading.reader.badCount == 0)
    let record = try #require(reading.records.first)
    #expect(record.host == "a.example")
    #expect(record.time == 1_782_909_296_000_000_000)
    #expect(record.target == "/\"ü")
    #expect(record.duration == 250_000_000)
    #expect(record.fields == ["cookie: k=v"])
  }

  @Test func `a format of Apache's and varnishncsa's`() throws {
    let format = try LogFormat(
      #"%{Host}i %h %l %u %t \"%r\" %>s %b %D \"%{Referer}i\" %{Varnish:hitmiss}x %%"#)
    let reading = Reading(
      #"h.example 10.0.0.1 - - [01/Jul/2026:12:34:56 +0000] "GET http://b.example/x HTTP/1.1" 404 17 250 "-" miss %"#,
      format: .log(format))
    #expect(reading.reader.badCount == 0, "\(reading.reader.badLines)")
    let record = try #require(reading.records.first)
    #expect(record.host == "b.example")
    #expect(record.scheme == "http")
    // %t is when the request came: its duration is not taken from that.
    #expect(record.duration == nil)
    #expect(record.status == 404)
    let end = try LogFormat(#"%h %{end:sec}t "%r" %D"#)
    let ended = Reading(#"10.0.0.1 1782909296 "GET /a HTTP/1.1" 250"#, format: .log(end))
    #expect(ended.records.first?.duration == 250_000)
  }

  @Test func `what is called an id is the target only where there is no other`() {
    let reading = Reading(
      #"""
      {"id":"7","target":"/a?b=1","host":"shop.example","server_name":"_"}
      {"request":"GET /c HTTP/1.1","key":"7","server_name":"own.example"}
      {"path":"/d","id":"7","server_name":"own.example","host":"shop.example"}
      {"id":"7"}

      """#, format: .json)
    #expect(reading.reader.badCount == 0, "\(reading.reader.badLines)")
    #expect(reading.records.map(\.target) == ["/a?b=1", "/c", "/d", "/7"])
    #expect(
      reading.records.map(\.host) == ["shop.example", "own.example", "shop.example", ""])
  }

  @Test func `tabs and times in units, as Apache's formats have them`() throws {
    let format = try LogFormat(#"%h\t%{begin:usec}t\t\"%r\"\t%{msec_frac}t"#)
    let reading = Reading(
      "10.0.0.1\t1782909296789123\t\"GET /a HTTP/1.1\"\t789", format: .log(format))
    #expect(reading.reader.badCount == 0, "\(reading.reader.badLines)")
    #expect(reading.records.first?.time == 1_782_909_296_789_123_000)
    #expect(reading.records.first?.target == "/a")
  }

  @Test(arguments: [
    ("%h %t", "the format has no request in it"),
    ("$request$status", "two values without a character between them"),
    ("%r %{a", "%{ without a }"), ("%r %", "% at the end"), ("${request", "${request has no end"),
    ("$request $", "$ without a variable's name"),
  ])
  func `formats that are none`(text: String, problem: String) {
    #expect { try LogFormat(text) } throws: { ($0 as? LogFormat.Problem)?.description == problem }
  }

  @Test func `CloudFront's lines`() {
    let reading = Reading(
      """
      #Version: 1.0
      #Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query x-host-header cs-protocol cs-bytes time-taken
      2026-07-01\t12:34:56\tFRA2\t392\t192.0.2.100\tGET\td111.cloudfront.net\t/index.html\t200\t-\tMozilla/5.0%20(X;%2520Y)\ta=b\twww.example.com\thttps\t23\t0.001
      2026-07-01\t12:34:57\tFRA2\t1\t192.0.2.100\tGET
      """)
    #expect(reading.reader.format == .w3c)
    var record = Seen("/index.html?a=b")
    record.time = 1_782_909_296_000_000_000
    record.client = "192.0.2.100"
    record.host = "www.example.com"
    record.scheme = "https"
    record.status = 200
    record.responseBytes = 392
    record.duration = 1_000_000
    record.fields = ["user-agent: Mozilla/5.0 (X; Y)"]
    #expect(reading.records == [record])
    #expect(reading.reader.badLines.map(\.number) == [4])
    #expect(reading.reader.badLines.map(\.reason) == ["too few columns"])
  }

  @Test func `lines of IIS, whose times are milliseconds`() {
    let reading = Reading(
      """
      #Software: Microsoft Internet Information Services 10.0
      #Version: 1.0
      #Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs-host sc-status sc-bytes cs-bytes time-taken
      2026-07-01 12:34:56 10.0.0.9 GET /index.html a=b+c 80 anna 192.0.2.100 Mozilla/5.0+(X;+Y) www.example.com 200 392 23 1500
      """)
    #expect(reading.reader.format == .w3c)
    var record = Seen("/index.html?a=b+c")
    record.time = 1_782_909_296_000_000_000
    record.client = "192.0.2.100"
    record.user = "anna"
    record.host = "www.example.com"
    record.status = 200
    record.responseBytes = 392
    record.duration = 1_500_000_000
    record.fields = ["user-agent: Mozilla/5.0 (X; Y)"]
    #expect(reading.records == [record], "\(reading.reader.badLines)")
  }

  @Test func `an archive may begin with a byte order mark`() {
    let text = #"{"log":{"entries":[{"request":{"method":"GET","url":"http://e/a"}}]}}"#
    let reading = Reading("\u{FEFF}" + text)
    #expect(reading.reader.format == .har)
    #expect(reading.records.map(\.target) == ["/a"])
  }

  @Test func `an archive of a browser`() throws {
    let reading = Reading(
      #"""
      {
        "log": { "version": "1.2", "creator": {"name": "x", "version": "1"},
          "entries": [
            {"pageref": "page_1", "startedDateTime": "2026-07-01T14:34:56.789+02:00", "time": 12.5,
             "request": {"method": "GET", "url": "https:\/\/example.com\/a?b#c", "httpVersion": "HTTP/2",
               "headers": [{"name": ":authority", "value": "example.com"}, {"name": "Accept", "value": "*/*"}],
               "bodySize": -1, "headersSize": -1},
             "response": {"status": 200, "content": {"size": 700, "mimeType": "text/html"}, "bodySize": -1},
             "timings": {"wait": 1}},
            {"request": {"method": "GET"}},
            {"request": {"method": "POST", "url": "http://e", "bodySize": 3}, "response": {"status": 0, "bodySize": 5}}
          ] } }
      """#)
    #expect(reading.reader.format == .har)
    var first = Seen("/a?b")
    first.time = 1_782_909_296_789_000_000
    first.client = "page_1"
    first.scheme = "https"
    first.host = "example.com"
    first.status = 200
    first.responseBytes = 700
    first.duration = 12_500_000
    first.fields = ["Accept: */*"]
    #expect(reading.records.first == first)
    #expect(reading.records.last?.target == "/")
    #expect(reading.records.last?.requestBytes == 3)
    #expect(reading.reader.badLines.map(\.number) == [2])
    #expect(reading.reader.recordCount == 2)
  }

  @Test func `columns of a trace, by number and by name`() throws {
    let bare = Reading("1 17 4096\n2 a/b 5\n")
    #expect(bare.records.map(\.target) == ["/17", "/a%2Fb"])
    #expect(bare.records.map(\.responseBytes) == [4096, 5])
    #expect(bare.records.map(\.time) == [1_000_000_000, 2_000_000_000])
    let named = Reading("timestamp, op, key, size, ttl\n1.5,GET,\"a \"\"b\",10,60\n2,SET,x,1,0\n")
    #expect(named.records.map(\.target) == ["/a%20%22b", "/x"])
    #expect(named.records.map(\.method) == ["GET", "PUT"])
    #expect(named.records.map(\.lifetime) == [60, 0])
    let given = Reading("5;/x?y;9\n", format: .columns([.responseBytes, .key, .ignored]))
    #expect(given.records.map(\.target) == ["/x?y"])
    #expect(given.records.map(\.responseBytes) == [5])
  }

  @Test func `a first line is read twice without taking the second reading's room`() {
    // Quotes to be undone, and each byte to be percent-encoded: the most that a line can come to.
    let spaces = String(repeating: " ", count: 20_000)
    let reading = Reading("1,\"a\"\"\(spaces)\",5\n2,b,6\n")
    let encoded = String(repeating: "%20", count: 20_000)
    #expect(reading.records.map(\.target) == ["/a%22\(encoded)", "/b"])
  }

  @Test func `operations of key-value stores are methods`() {
    let operations = ["get", "gets", "set", "add", "cas", "append", "incr", "delete", "GET"]
    let lines = operations.map { "1,k,\($0)\n" }.joined()
    let reading = Reading(lines, format: .columns([.time, .key, .method]))
    #expect(
      reading.records.map(\.method)
        == ["GET", "GET", "PUT", "PUT", "PUT", "PUT", "PUT", "DELETE", "GET"])
  }

  @Test func `a binary trace of libCacheSim's`() {
    var bytes: [UInt8] = []
    for index in 0..<3 as Range<UInt8> {
      bytes +=
        [index, 0, 0, 0, 7 + index, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0]
        + Array(repeating: 255, count: 8)
    }
    let reading = Reading(bytes + [1, 2])
    #expect(reading.reader.format == .oracleGeneral)
    #expect(reading.records.map(\.target) == (0..<3).map { "/\(1 << 56 + 7 + UInt64($0))" })
    #expect(reading.records.map(\.responseBytes) == [512, 512, 512])
    #expect(reading.records.map(\.time) == [0, 1_000_000_000, 2_000_000_000])
    #expect(reading.reader.badLines.map(\.reason) == ["cut off"])
  }

  @Test func `paths and URLs`() {
    let reading = Reading("/a\nhttps://b.example/c?d\n\nx\n")
    #expect(reading.records.map(\.target) == ["/a", "/c?d"])
    #expect(reading.records.map(\.host) == ["", "b.example"])
    #expect(reading.reader.badLines.map(\.number) == [4])
  }

  @Test func `bad lines are counted, and the first of them kept`() {
    let bad = (0..<20).map { "bad \($0)\u{1b}[31m\n" }.joined()
    let reading = Reading(combined + bad + combined)
    #expect(reading.records.count == 4)
    #expect(reading.reader.badCount == 20)
    #expect(reading.reader.badLines.map(\.number) == [3, 4, 5, 6, 7])
    #expect(reading.reader.badLines[0].reason == "not in the format")
    #expect(reading.reader.badLines[0].text == "bad 0 [31m")
  }

  @Test func `a line without end is left out, and the next is read`() {
    let long = String(repeating: "x", count: 3 << 20)
    let reading = Reading("/a\n/\(long)\n/b\n", step: 1000)
    #expect(reading.records.map(\.target) == ["/a", "/b"])
    #expect(reading.reader.badLines.map(\.reason) == ["longer than 1 MiB"])
  }

  @Test(arguments: [
    "/a\r\n/b\r\n", "\u{FEFF}/a\n", "{\"a\":\n", "#Fields: x\n\n", "1,2\n3", "[\"\n",
    "{\"log\":{\"entries\":[{",
    #"{"target":"/","x":"\ud800"}"#, #"{"target":"\"#, "1 2 99999999999999999999\n",
    "99999999999 1 1\n",
    "a - - [99/Jul/2026:12:34:56 +0000] \"GET / HTTP/1.1\" 1 1\n", "- - - [x] \"",
  ])
  func `odd texts do no harm, in any portions`(text: String) {
    let whole = Reading(text)
    for step in 1...8 {
      let cut = Reading(text, step: step)
      #expect(cut.records == whole.records)
      #expect(cut.reader.badLines == whole.reader.badLines)
    }
  }
}
