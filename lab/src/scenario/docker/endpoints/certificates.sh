# Makes certificates as Docker's documentation has it: one authority, a server, a client; and a client of another
# authority. All in $1.
set -eu
cd "$1"
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" -days 2 \
        -keyout "$1-key.pem" -out "$1.pem"
}
signed() {
    openssl req -newkey "$3" -nodes -subj "/CN=$1" -keyout "$1-key.pem" -out "$1.csr"
    printf '%s\n' "$4" >"$1.conf"
    openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2-key.pem" -CAcreateserial -days 2 \
        -extfile "$1.conf" -out "$1.pem"
    # As Docker's clients look for them.
    mkdir "$1"
    cp "$1.pem" "$1/cert.pem"
    cp "$1-key.pem" "$1/key.pem"
    cp ca.pem "$1/ca.pem"
    chmod 0400 "$1-key.pem" "$1/key.pem"
}
authority ca
authority others
signed server ca rsa:2048 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1
extendedKeyUsage=serverAuth'
signed client ca rsa:2048 extendedKeyUsage=clientAuth
signed stranger others rsa:2048 extendedKeyUsage=clientAuth
