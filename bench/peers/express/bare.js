// Bare Express, the unit of every ratio.
const app = require('express')();
app.get('/', (req, res) => res.json({ ok: true }));
app.listen(Number(process.env.PORT), '127.0.0.1');
