#pragma once
// libcrypto: digests, constant-time comparison, the client's side of imports, and the test oracle for what the token computes.
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
