import Testing

@Test func cryptokiTestsPlaceholder() {}
