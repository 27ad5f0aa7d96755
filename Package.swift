// swift-tools-version: 6.2
import PackageDescription

/// Every target: Swift 6 mode, unsafe code must say so, imports must be declared.
let strict: [SwiftSetting] = [
  .strictMemorySafety(),
  .enableExperimentalFeature("Lifetimes"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("ExistentialAny"),
]

/// The modules on the way of a hit: exclusivity of class fields is checked in debug builds, where the
/// tests run, and not in release builds (up to 14 ns for each update, docs/architecture.md).
let hot: [SwiftSetting] =
  strict + [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]

let package = Package(
  name: "weir",
  products: [
    .executable(name: "weir", targets: ["weir"]),
    .executable(name: "origin", targets: ["origin"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
  ],
  targets: [
    // C, as the system has it.
    .systemLibrary(name: "CLinux"),
    .systemLibrary(name: "CLMDB", pkgConfig: "lmdb", providers: [.apt(["liblmdb-dev"])]),
    .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    .systemLibrary(name: "CPCRE2", pkgConfig: "libpcre2-8", providers: [.apt(["libpcre2-dev"])]),
    .systemLibrary(
      name: "CMaxMindDB", pkgConfig: "libmaxminddb", providers: [.apt(["libmaxminddb-dev"])]),

    .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(
      name: "CNGHTTP2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    // Without pkg-config: what it says is for large files on 32 bits, and refused.
    .systemLibrary(name: "CHiredis", providers: [.apt(["libhiredis-dev"])]),
    .systemLibrary(name: "CCrypt", pkgConfig: "libcrypt", providers: [.apt(["libcrypt-dev"])]),

    // One module wraps one library or the kernel.
    .target(name: "Bytes", dependencies: ["CLinux"], swiftSettings: hot),
    .target(name: "EventLoop", dependencies: ["CLinux", "Bytes"], swiftSettings: hot),
    .target(name: "LMDB", dependencies: ["CLMDB", "Bytes"], swiftSettings: hot),
    .target(name: "Checksum", dependencies: ["CXXHash", "Bytes"], swiftSettings: hot),
    .target(name: "RegularExpressions", dependencies: ["CPCRE2", "Bytes"], swiftSettings: hot),
    .target(
      name: "GeoDatabase", dependencies: ["CMaxMindDB", "CLinux", "Bytes"], swiftSettings: hot),

    .target(name: "Cryptography", dependencies: ["COpenSSL", "Bytes"], swiftSettings: hot),

    .target(
      name: "TLS", dependencies: ["COpenSSL", "CLinux", "Bytes", "EventLoop"], swiftSettings: hot),

    .target(
      name: "Redis", dependencies: ["CHiredis", "Bytes", "EventLoop", "Cryptography"],
      swiftSettings: strict),

    // Protocols and rules: no I/O, no clock, no globals.
    .target(name: "HTTPMessage", dependencies: ["Bytes"], swiftSettings: hot),
    .target(name: "HTTP1", dependencies: ["HTTPMessage", "Bytes"], swiftSettings: hot),
    .target(
      name: "HTTP2", dependencies: ["CLinux", "CNGHTTP2", "HTTP1", "HTTPMessage", "Bytes"],
      swiftSettings: hot),
    .target(name: "StructuredFields", dependencies: ["Bytes"], swiftSettings: strict),
    .target(
      name: "HTTPCaching", dependencies: ["HTTPMessage", "StructuredFields", "Bytes"],
      swiftSettings: hot),
    .target(
      name: "RequestSigning", dependencies: ["Bytes", "Cryptography", "HTTPMessage"],
      swiftSettings: strict),
    .target(name: "RateLimiting", dependencies: ["CLinux", "Bytes"], swiftSettings: hot),
    .target(name: "ClientAddress", dependencies: ["Bytes"], swiftSettings: hot),
    .target(
      name: "Rules",
      dependencies: ["CLinux", "Bytes", "HTTPMessage", "RegularExpressions", "GeoDatabase"],
      swiftSettings: hot),
    .target(
      name: "Configuration",
      dependencies: [
        "CLinux", "Bytes", "Rules", "Cryptography", "Authentication", "TLS", "AccessLog",
        "RequestSigning",
      ],
      swiftSettings: strict),

    // What a node has: figures, a log, a store, origins.
    .target(name: "Metrics", dependencies: ["CLinux", "Bytes"], swiftSettings: hot),
    .target(
      name: "Accounting",
      dependencies: ["CLinux", "Bytes", "EventLoop", "HTTPMessage", "Metrics"],
      swiftSettings: strict),
    .target(name: "Tracing", dependencies: ["Bytes"], swiftSettings: hot),
    .target(
      name: "AccessLog", dependencies: ["CLinux", "CZlib", "Bytes", "EventLoop"],
      swiftSettings: hot),
    .target(
      name: "ObjectStore",
      dependencies: ["CLinux", "Bytes", "EventLoop", "LMDB", "Checksum", "Crashes"],
      swiftSettings: hot),
    .target(
      name: "Origins",
      dependencies: [
        "CLinux", "Bytes", "EventLoop", "HTTPMessage", "HTTP1", "Configuration", "TLS",
      ],
      swiftSettings: hot),
    .target(
      name: "StaticFiles", dependencies: ["CLinux", "Bytes", "EventLoop", "HTTPMessage"],
      swiftSettings: strict),

    .target(
      name: "Fleet", dependencies: ["Bytes", "EventLoop", "ObjectStore", "RateLimiting", "Redis"],
      swiftSettings: strict),

    // Recorded traffic, in whatever form it was recorded.
    .target(
      name: "TrafficFormats", dependencies: ["CZlib", "CZstd", "Bytes"], swiftSettings: hot),

    .target(
      name: "Replay",
      dependencies: [
        "CLinux", "Bytes", "EventLoop", "HTTPMessage", "HTTP1", "TLS", "Cryptography",
        "RegularExpressions", "TrafficFormats", "HTTP2",
        .product(name: "Histogram", package: "hdrhistogram-swift"),
      ], swiftSettings: hot),

    // Who a client is: tokens, keys, passwords, signed URLs.
    .target(
      name: "Authentication",
      dependencies: [
        "CLinux", "CCrypt", "Bytes", "EventLoop", "HTTPMessage", "HTTP1", "RateLimiting",
        "Cryptography",
      ], swiftSettings: hot),

    // A request's way through all of it, and the operator's way in.
    .target(
      name: "Edge",
      dependencies: [
        "CLinux", "Crashes", "Bytes", "EventLoop", "HTTPMessage", "HTTP1", "HTTPCaching",
        "RateLimiting", "ClientAddress", "Configuration", "Metrics", "AccessLog", "ObjectStore",
        "Origins", "StaticFiles", "Rules", "GeoDatabase", "Cryptography", "Authentication", "TLS",
        "HTTP2", "Tracing", "Fleet", "RequestSigning",
      ], swiftSettings: hot),
    .target(
      name: "Admin",
      dependencies: [
        "CLinux", "Bytes", "EventLoop", "AccessLog", "HTTPMessage", "HTTP1", "Configuration",
        "Metrics", "ObjectStore", "Origins", "RateLimiting", "Edge", "Cryptography",
        "Accounting", "Fleet", "TLS",
      ],
      resources: [
        .embedInCode("Dashboard/page.html"), .embedInCode("Dashboard/style.css"),
        .embedInCode("Dashboard/script.js"),
      ], swiftSettings: strict),
    .target(
      name: "Node",
      dependencies: [
        "CLinux", "Bytes", "Crashes", "EventLoop", "Configuration", "Metrics", "AccessLog",
        "ObjectStore",
        "Origins", "RateLimiting", "StaticFiles", "Authentication", "Tracing", "Edge", "Admin",
        "GeoDatabase", "TLS", "Accounting", "Fleet", "Redis",
      ], swiftSettings: strict),

    // What `weir top` shows: a pure function of a node's figures.
    .systemLibrary(name: "CTerminal"),
    .target(name: "TopView", swiftSettings: strict),

    // What keeps a node running: rules only.
    .target(name: "Supervision", swiftSettings: strict),

    // What a crash leaves behind.
    .target(name: "Crashes", dependencies: ["CLinux", "Bytes", "EventLoop"], swiftSettings: hot),

    // What a node needs of its machine.
    .target(
      name: "Doctor",
      dependencies: [
        "CLinux", "Bytes", "Crashes", "Configuration", "EventLoop", "HTTPMessage", "TLS",
      ],
      swiftSettings: strict),

    // Other programs' configurations, carried over.
    .target(name: "Conversion", swiftSettings: strict),

    // Commands.
    .executableTarget(
      name: "weir",
      dependencies: [
        "CLinux", "Bytes", "Crashes", "Doctor", "Conversion", "Configuration", "EventLoop", "Node",
        "Supervision", "Edge", "Authentication", "Cryptography", "Replay", "TLS",
        "TrafficFormats", "CTerminal", "TopView",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], swiftSettings: strict),
    .target(
      name: "DemoOrigin", dependencies: ["CLinux", "Bytes", "EventLoop", "HTTPMessage", "HTTP1"],
      swiftSettings: strict),
    .executableTarget(
      name: "origin",
      dependencies: [
        "DemoOrigin", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], path: "tools/origin", swiftSettings: strict),
    .executableTarget(
      name: "RulesBench", dependencies: ["Rules", "HTTP1", "HTTPMessage", "Bytes", "CLinux"],
      path: "tools/bench/RulesBench", swiftSettings: strict),

    .executableTarget(
      name: "LimitsBench", dependencies: ["CLinux", "Bytes", "RateLimiting"],
      path: "tools/bench/LimitsBench", swiftSettings: hot),
    .executableTarget(
      name: "AuthenticationBench",
      dependencies: ["Authentication", "Cryptography", "CLinux", "Bytes", "EventLoop"],
      path: "tools/bench/AuthenticationBench", swiftSettings: strict),
    .executableTarget(
      name: "StoreBench", dependencies: ["CLinux", "Bytes", "EventLoop", "ObjectStore"],
      path: "tools/bench/StoreBench", swiftSettings: strict),
    .executableTarget(
      name: "EvictionBench", dependencies: ["CLinux", "Bytes", "ObjectStore"],
      path: "tools/bench/EvictionBench", swiftSettings: strict),

    // The test kit, and the tests.
    .target(
      name: "EdgeTesting",
      dependencies: [
        "CLinux", "Bytes", "EventLoop", "HTTPMessage", "HTTP1", "Configuration", "Metrics",
        "ObjectStore", "Edge", "Admin", "Node", "DemoOrigin", "TLS", "HTTP2",
      ], swiftSettings: strict),
    .target(
      name: "RedisTesting",
      dependencies: ["CLinux", "Bytes", "EventLoop", "Redis", "EdgeTesting"],
      swiftSettings: strict),
    .testTarget(
      name: "RedisTests", dependencies: ["Redis", "RedisTesting"], swiftSettings: strict),
    .testTarget(
      name: "FleetTests",
      dependencies: [
        "CLinux", "Bytes", "EventLoop", "Fleet", "ObjectStore", "Redis", "RedisTesting",
        "EdgeTesting",
      ], swiftSettings: strict),
    .testTarget(name: "BytesTests", dependencies: ["Bytes"], swiftSettings: strict),
    .testTarget(
      name: "EventLoopTests", dependencies: ["EventLoop", "Bytes"], swiftSettings: strict),
    .testTarget(
      name: "HTTPMessageTests", dependencies: ["HTTPMessage", "Bytes"], swiftSettings: strict),
    .testTarget(
      name: "HTTP1Tests", dependencies: ["HTTP1", "HTTPMessage", "Bytes"], swiftSettings: strict),
    .testTarget(
      name: "StructuredFieldsTests", dependencies: ["StructuredFields", "Bytes"],
      swiftSettings: strict),
    .testTarget(
      name: "HTTPCachingTests", dependencies: ["HTTPCaching", "HTTPMessage", "Bytes"],
      swiftSettings: strict),
    .testTarget(
      name: "RequestSigningTests", dependencies: ["RequestSigning", "Bytes"],
      swiftSettings: strict),
    .testTarget(
      name: "TLSTests",
      dependencies: [
        "TLS", "HTTP2", "HTTPMessage", "EventLoop", "Bytes", "CLinux", "EdgeTesting",
      ], swiftSettings: strict),
    .testTarget(
      name: "HTTP2Tests", dependencies: ["HTTP2", "HTTPMessage", "Bytes", "CNGHTTP2"],
      swiftSettings: strict),
    .testTarget(
      name: "RateLimitingTests", dependencies: ["RateLimiting", "Bytes"], swiftSettings: strict),
    .testTarget(
      name: "ClientAddressTests", dependencies: ["ClientAddress", "Bytes"], swiftSettings: strict),
    .testTarget(
      name: "CryptographyTests", dependencies: ["Cryptography", "Bytes"], swiftSettings: strict),
    .testTarget(
      name: "AuthenticationTests",
      dependencies: [
        "Authentication", "Cryptography", "COpenSSL", "CLinux", "Bytes", "EventLoop",
        "HTTPMessage", "HTTP1", "RateLimiting",
      ], swiftSettings: strict),
    .testTarget(
      name: "RulesTests",
      dependencies: [
        "Rules", "RegularExpressions", "GeoDatabase", "HTTP1", "HTTPMessage", "Bytes", "CLinux",
      ], swiftSettings: strict),
    .testTarget(
      name: "ConfigurationTests", dependencies: ["Configuration", "Rules", "TLS", "CLinux"],
      exclude: ["Golden"], swiftSettings: strict),
    .testTarget(
      name: "ConversionTests", dependencies: ["Conversion", "Configuration", "Edge"],
      swiftSettings: strict),
    .testTarget(
      name: "DoctorTests", dependencies: ["Doctor", "Configuration", "EventLoop"],
      swiftSettings: strict),
    .testTarget(
      name: "CrashesTests", dependencies: ["Crashes", "Bytes", "EventLoop", "CLinux"],
      swiftSettings: strict),
    .testTarget(name: "TracingTests", dependencies: ["Tracing", "Bytes"], swiftSettings: strict),
    .testTarget(
      name: "AccountingTests", dependencies: ["Accounting", "Metrics"], swiftSettings: strict),
    .testTarget(name: "MetricsTests", dependencies: ["Metrics", "Bytes"], swiftSettings: strict),
    .testTarget(
      name: "AccessLogTests",
      dependencies: ["AccessLog", "Bytes", "CLinux", "EventLoop", "TrafficFormats"],
      swiftSettings: strict),
    .testTarget(
      name: "ObjectStoreTests",
      dependencies: [
        "ObjectStore", "LMDB", "Checksum", "Bytes", "EventLoop", "CLinux", "StoreBench",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "OriginsTests",
      dependencies: ["Origins", "CLinux", "Bytes", "Configuration", "EventLoop", "HTTPMessage"],
      swiftSettings: strict),
    .testTarget(
      name: "ReplayTests",
      dependencies: [
        "Replay", "TrafficFormats", "Bytes", "EventLoop", "HTTP1", "HTTP2", "HTTPMessage",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "TrafficFormatsTests", dependencies: ["TrafficFormats", "Bytes"],
      swiftSettings: strict),
    .testTarget(
      name: "StaticFilesTests",
      dependencies: ["StaticFiles", "CLinux", "Bytes", "EventLoop", "HTTPMessage", "HTTP1"],
      swiftSettings: strict),
    .testTarget(
      name: "AdminTests",
      dependencies: [
        "Admin", "EdgeTesting", "Edge", "Bytes", "Configuration", "EventLoop", "HTTPMessage",
        "Metrics", "ObjectStore", "RateLimiting",
      ], swiftSettings: strict),
    .testTarget(
      name: "EdgeTests",
      dependencies: [
        "EdgeTesting", "Edge", "Node", "Bytes", "Configuration", "Metrics", "Origins",
        "EventLoop", "ObjectStore", "DemoOrigin", "Cryptography", "Authentication", "TLS",
        "Tracing", "RedisTesting", "RequestSigning",
      ], swiftSettings: strict),
    .testTarget(
      name: "SystemTests", dependencies: ["EdgeTesting", "EventLoop", "RedisTesting", "weir"],
      swiftSettings: strict),
    .testTarget(
      name: "SupervisionTests", dependencies: ["Supervision"], swiftSettings: strict),
    .testTarget(
      name: "CommandTests",
      dependencies: [
        "weir", "Bytes", "CLinux", "CTerminal", "EdgeTesting", "EventLoop", "LMDB", "ObjectStore",
        "Redis", "RedisTesting",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),
    .testTarget(name: "TopViewTests", dependencies: ["TopView"], swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6]
)
