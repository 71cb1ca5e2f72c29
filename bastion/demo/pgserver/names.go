package pgserver

import "strings"

// A country is where a customer lives: what people and towns are called there,
// and how telephone and bank account numbers look.
type country struct {
	code     string
	dial     string
	currency string
	bban     string // shape of the account number after the check digits: A letter, 0 digit
	weight   int    // share of customers

	// A name in another script carries its Latin spelling after a slash, for the e-mail address.
	given, family, cities []string
}

var countries = []country{
	{code: "DE", dial: "+49", currency: "EUR", bban: "000000000000000000", weight: 24,
		given:  strings.Fields("Anna Jürgen Sabine Björn Käthe Lukas Jörg Miriam Günther Heike Sören Mila Emil Frieda Jonas Leonie"),
		family: strings.Fields("Müller Schmidt Weiß Hoffmann Größer Bäcker Köhler Vogel Krüger Schröder Jäger Lehmann Böhm Winter Groß Fuchs"),
		cities: strings.Fields("Berlin München Köln Hamburg Düsseldorf Leipzig Nürnberg Tübingen Görlitz Lübeck")},
	{code: "FR", dial: "+33", currency: "EUR", bban: "00000000000000000000000", weight: 16,
		given:  strings.Fields("Zoé François Hélène Noël Chloé Jérôme Amélie Étienne Margaux Loïc Inès Théo Solène Hugo"),
		family: strings.Fields("Lefèvre Dubois Béranger Moreau Gauthier Lemaître Rousseau Fournier Chevalier Poirier Garçon d'Arcy Noël Roche"),
		cities: strings.Fields("Paris Lyon Nîmes Orléans Besançon Saint-Étienne Angoulême Marseille Rennes")},
	{code: "NL", dial: "+31", currency: "EUR", bban: "AAAA0000000000", weight: 7,
		given:  strings.Fields("Daan Fleur Sjoerd Maaike Bram Anouk Joost Femke Thijs Noor"),
		family: []string{"de Vries", "van den Berg", "Jansen", "Bakker", "van 't Hof", "Smit", "Mulder", "Dekker", "ten Brink", "Visser"},
		cities: []string{"Amsterdam", "Utrecht", "Den Haag", "Groningen", "'s-Hertogenbosch", "Leiden"}},
	{code: "PL", dial: "+48", currency: "PLN", bban: "000000000000000000000000", weight: 10,
		given:  strings.Fields("Łukasz Małgorzata Paweł Agnieszka Michał Zofia Wojciech Jagoda Stanisław Bożena Kuba Róża"),
		family: strings.Fields("Wójcik Kowalczyk Zieliński Dąbrowska Woźniak Jabłońska Król Wieczorek Pawłowska Górski Łuczak Żak"),
		cities: strings.Fields("Warszawa Kraków Łódź Wrocław Gdańsk Poznań Białystok Częstochowa")},
	{code: "ES", dial: "+34", currency: "EUR", bban: "00000000000000000000", weight: 10,
		given:  strings.Fields("Lucía Íñigo Begoña Álvaro Martín Concepción Ramón Sofía Adrián Nuria Óscar Jimena"),
		family: []string{"García", "Muñoz", "Fernández", "Núñez", "Peña", "Ibáñez", "Castaño", "Ortega", "Gómez", "Ruiz", "de la Torre", "Cordón"},
		cities: []string{"Madrid", "A Coruña", "Málaga", "Cádiz", "León", "Bilbao", "Logroño", "Sevilla"}},
	{code: "SE", dial: "+46", currency: "SEK", bban: "00000000000000000000", weight: 6,
		given:  strings.Fields("Åsa Björn Maja Örjan Ebba Håkan Linnéa Göran Ylva Nils"),
		family: strings.Fields("Åkesson Lindström Öberg Sjöberg Nyström Berglund Ström Hägg Ek Löfgren"),
		cities: strings.Fields("Stockholm Göteborg Malmö Umeå Örebro Västerås")},
	{code: "CZ", dial: "+420", currency: "CZK", bban: "00000000000000000000", weight: 5,
		given:  strings.Fields("Jiří Zdeňka Matěj Růžena Tomáš Šárka Ondřej Alžběta Vít Klára"),
		family: strings.Fields("Dvořák Němcová Černý Růžička Procházka Říha Kučera Šimek Beneš Ježek"),
		cities: []string{"Praha", "Brno", "Plzeň", "České Budějovice", "Ústí nad Labem", "Olomouc"}},
	{code: "TR", dial: "+90", currency: "TRY", bban: "0000000000000000000000", weight: 5,
		given:  strings.Fields("Ayşe Çağrı Gökhan Elif İpek Ömer Şule Burak Zeynep Tuğba"),
		family: strings.Fields("Yılmaz Şahin Öztürk Çelik Aydın Koç Güneş Doğan Kılıç Ağaoğlu"),
		cities: strings.Fields("İstanbul Ankara İzmir Eskişehir Diyarbakır Çanakkale")},
	{code: "IE", dial: "+353", currency: "EUR", bban: "AAAA00000000000000", weight: 6,
		given:  strings.Fields("Siobhán Cillian Aoife Pádraig Niamh Oisín Róisín Eoin Grace Daniel"),
		family: []string{"O'Brien", "Ó Súilleabháin", "Byrne", "Kelly", "McCarthy", "Ní Dhomhnaill", "Walsh", "O'Neill", "Doyle", "Quinn"},
		cities: []string{"Dublin", "Cork", "Galway", "Dún Laoghaire", "Limerick"}},
	{code: "GR", dial: "+30", currency: "EUR", bban: "00000000000000000000000", weight: 5,
		given:  strings.Fields("Ελένη/eleni Γιώργος/giorgos Κατερίνα/katerina Νίκος/nikos Σοφία/sofia Δημήτρης/dimitris Άννα/anna"),
		family: strings.Fields("Παπαδόπουλος/papadopoulos Οικονόμου/oikonomou Βλάχος/vlachos Αγγελοπούλου/angelopoulou Μακρής/makris Δήμου/dimou"),
		cities: strings.Fields("Αθήνα Θεσσαλονίκη Πάτρα Ηράκλειο")},
	{code: "JP", dial: "+81", currency: "JPY", bban: "", weight: 4,
		given:  strings.Fields("花子/hanako 太郎/taro 美咲/misaki 健一/kenichi さくら/sakura 翔太/shota 由美/yumi"),
		family: strings.Fields("佐藤/sato 鈴木/suzuki 高橋/takahashi 田中/tanaka 渡辺/watanabe 小林/kobayashi 山本/yamamoto"),
		cities: strings.Fields("東京 大阪 京都 札幌 福岡")},
	{code: "US", dial: "+1", currency: "USD", bban: "", weight: 9,
		given:  strings.Fields("Olivia Marcus Denise Tyrone Hannah José Priya Caleb Naomi Wei Dakota Latoya"),
		family: strings.Fields("Johnson Nguyen Washington Rivera Patel O'Connor Goldberg Kim Baker Hernández Chen Brooks"),
		cities: []string{"Boston", "San José", "New York", "Austin", "St. Paul", "Portland", "Coeur d'Alene"}},
}

// latin spells the letters of the names above in ASCII, as on cards and in mail addresses.
var latin = strings.NewReplacer(
	"ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss", "å", "a", "à", "a", "á", "a", "â", "a", "ą", "a",
	"ç", "c", "ć", "c", "č", "c", "ď", "d", "è", "e", "é", "e", "ê", "e", "ë", "e", "ę", "e", "ě", "e",
	"ğ", "g", "í", "i", "ï", "i", "î", "i", "ı", "i", "i̇", "i", "ł", "l", "ñ", "n", "ń", "n", "ň", "n",
	"ó", "o", "ô", "o", "ø", "o", "ř", "r", "ś", "s", "š", "s", "ş", "s", "ť", "t", "ú", "u", "ů", "u",
	"ù", "u", "û", "u", "ý", "y", "ź", "z", "ż", "z", "ž", "z",
)

// mailbox leaves out what a name has and a mail address has not.
var mailbox = strings.NewReplacer(" ", "", "'", "")

var (
	jobs = []string{"support", "warehouse", "finance", "engineering", "marketing"}

	materials = strings.Fields("Oak Linen Copper Wool Glass Bamboo Steel Cork Leather Porcelain Felt Walnut")
	things    = []string{"Table Lamp", "Notebook", "Teapot", "Blanket", "Desk Organiser", "Cushion", "Bowl", "Backpack",
		"Chopping Board", "Candle Holder", "Crème Brûlée Set", "Coat Rack", "Picture Frame", "Plant Pot", "Stool"}
	colours = strings.Fields("natural black white moss rust ink sand sky")
	tags    = strings.Fields("kitchen office gift outlet new handmade vegan bestseller fragile")
)
